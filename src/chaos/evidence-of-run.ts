import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunFolder } from '@locmoe/run-format';
import { SHM_DIR } from '../collectives/segment-files.js';
import { isRunning } from '../os/process-info.js';
import { type Circumstances, type RunEvidence, readEvidence } from './invariants/evidence.js';
import type { LiveRun } from './live-run.js';
import { isThere, type RunProcess } from './run-process.js';

/** Time for the coordinator of a run that is over to write its summary and last log lines. */
const EXIT_MS = 60_000;
/** Time for processes and files to disappear after the run's end. */
const WITHIN_MS = 5_000;
const POLL_MS = 100;

/** Collects the evidence on a run with injected faults, with what the run left behind if it is over. */
export async function evidenceOf(
  run: LiveRun,
  known: Omit<Circumstances, 'leftovers'>,
): Promise<RunEvidence> {
  const { state, pid, process: identity } = run.record;
  const { directory } = run.folder;
  if (state !== 'finished' && state !== 'failed')
    return readEvidence(directory, { ...known, leftovers: null });
  const deadline = performance.now() + EXIT_MS;
  while (isLeft({ pid, identity }) && performance.now() < deadline) await sleep(POLL_MS);
  return readEvidence(directory, { ...known, leftovers: await leftoversOf(run.folder, run.seen) });
}

/**
 * Lists what is left of a run that is over: its processes, and its temporary files in /dev/shm and its folder. Waits up
 * to `withinMs` for them to go.
 */
export async function leftoversOf(
  folder: RunFolder,
  processes: readonly RunProcess[],
  withinMs = WITHIN_MS,
): Promise<string[]> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const record = folder.readRecord();
    // A process that lingers only serves how the run ended.
    const expected = processes.filter(({ pid }) => record?.lingers !== true || pid !== record.pid);
    const left = [...expected.filter(isLeft).map(({ pid }) => `process ${pid}`), ...filesLeft(folder)];
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(POLL_MS);
  }
}

function isLeft(process: RunProcess): boolean {
  return isThere(process) && isRunning(process.pid);
}

function filesLeft(folder: RunFolder): string[] {
  const segments = readdirSync(SHM_DIR).filter((name) => name.startsWith(`locmoe-${folder.runId}-`));
  const temporary = [folder.directory, folder.checkpoints].flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory).filter((name) => /\.tmp(-|$)/.test(name)) : [],
  );
  return [...segments.map((name) => `${SHM_DIR}/${name}`), ...temporary];
}
