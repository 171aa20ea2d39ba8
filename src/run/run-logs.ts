import type { LogCatalog, LogFolder } from '@locmoe/logs';
import { listRuns } from '@locmoe/run-format';

/** Name of this program in the labels of its lines. */
const SERVICE = 'locmoe';

/** @param directory folder of the files of the run's log */
export function logFolder(run: string, directory: string): LogFolder {
  return { run, directory, service: SERVICE };
}

/** Returns the logs of all runs in a folder. */
export function logCatalog(runsDir: string): LogCatalog {
  return { runs: () => listRuns(runsDir).map(({ folder }) => logFolder(folder.runId, folder.logs)) };
}
