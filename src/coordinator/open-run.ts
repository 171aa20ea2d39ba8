import { LogStore } from '@locmoe/logs';
import { asTrainerError } from '../errors.js';
import { createLogger } from '../logger.js';
import { createRunFolder } from '../run/create-run-folder.js';
import { DiskTolerance } from '../run/disk-tolerance.js';
import { RestartBudget } from '../run/restart-budget.js';
import { RunTotals } from '../run/run-totals.js';
import type { RunOptions, RunPlan } from './planning/run-options.js';
import type { RunLeader } from './run-leader.js';
import type { OpenRun } from './run-view.js';

/** Creates the run's folder, or opens that of the resumed run, and opens the run's log, without which the run is aborted. */
export function openRun(
  { options, plan }: { readonly options: RunOptions; readonly plan: RunPlan },
  now: { readonly generation: number },
  leader: RunLeader,
): OpenRun {
  const { config, dataset, checkpoint, init, resumed, adopts, forkedFrom, initFrom } = plan;
  const resumedFrom = adopts?.step ?? checkpoint?.manifest.step ?? null;
  const folder = resumed?.folder ?? createRunFolder(options.runsDir, config.name, options.name);
  const { runId, directory } = folder;
  const disk = new DiskTolerance((line) => logger.warn(line));
  const onError = (error: unknown, file: string) => {
    if (!disk.forgives(error, file)) leader.abort(asTrainerError(error));
  };
  const logs = new LogStore(folder.logs, onError, 1e6 * config.logging.maxMB);
  const logger = createLogger({
    level: config.logLevel,
    origin: { run: runId },
    destination: { write: (line) => logs.append('coordinator', line.trimEnd()) },
    // The copy is needed because pino adds the fields of the line to it.
    mixin: () => ({ ...now }),
  });
  const totals = new RunTotals(now.generation, new RestartBudget(config.cluster));
  // An adopted run has trained, even if its next step fails or its last step was the final one.
  totals.lastStep = adopts?.step ?? 0;
  totals.lastValidation = adopts?.validation ?? null;
  totals.lastCheckpoint = adopts?.committed ?? null;
  return {
    identity: {
      runId,
      generation: now.generation,
      config,
      runDir: directory,
      datasetDir: adopts?.datasetDir ?? dataset.dir,
      resumeFrom: checkpoint?.folder ?? null,
      resumedStep: resumedFrom ?? 0,
      initFrom: init?.folder ?? null,
      inheritance: initFrom?.inheritance ?? null,
    },
    folder,
    logs,
    logger,
    disk,
    totals,
    resumedFrom,
    forkedFrom: resumed === null ? forkedFrom : null,
    initFrom: resumed === null ? initFrom : null,
  };
}
