import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunFolder } from '@locmoe/run-format';
import { processIdentity } from '@locmoe/run-format/process-identity';
import { SHM_DIR } from '../../collectives/segment-files.js';
import { isRunning } from '../../os/process-info.js';
import type { RunProcess } from '../run-process.js';

const WITHIN_MS = 5_000;
const POLL_MS = 100;

/**
 * What is left of a run that is over: its processes, and its temporary files in /dev/shm and its folder. Waits up to
 * `withinMs` for them to go.
 */
export async function leftoversOf(
  folder: RunFolder,
  processes: readonly RunProcess[],
  withinMs = WITHIN_MS,
): Promise<string[]> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const record = folder.readRecord();
    // One that lingers only serves how the run ended.
    const gone = processes.filter(({ pid }) => record?.lingers !== true || pid !== record.pid);
    const left = [...processesLeft(gone), ...filesLeft(folder)];
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(POLL_MS);
  }
}

function processesLeft(processes: readonly RunProcess[]): string[] {
  return processes
    .filter(({ pid, identity }) => processIdentity(pid) === identity && isRunning(pid))
    .map(({ pid }) => `process ${pid}`);
}

function filesLeft(folder: RunFolder): string[] {
  const segments = readdirSync(SHM_DIR).filter((name) => name.startsWith(`locmoe-${folder.runId}-`));
  const temporary = [folder.directory, folder.checkpoints].flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory).filter((name) => /\.tmp(-|$)/.test(name)) : [],
  );
  return [...segments.map((name) => `${SHM_DIR}/${name}`), ...temporary];
}
