import { setTimeout as sleep } from 'node:timers/promises';
import { processIdentity } from '@locmoe/run-format/process-identity';
import { isRunning } from '../os/process-info.js';
import { type Circumstances, type RunEvidence, readEvidence } from './invariants/evidence.js';
import { leftoversOf } from './invariants/leftovers.js';
import type { LiveRun } from './live-run.js';

/** A coordinator whose run is over gets so long for its summary and its last log lines. */
const EXIT_MS = 60_000;
const POLL_MS = 100;

/** The evidence on a run that faults were injected into; what it left behind too, if it is over. */
export async function evidenceOf(
  run: LiveRun,
  known: Omit<Circumstances, 'leftovers'>,
): Promise<RunEvidence> {
  const { state, pid, process } = run.record;
  const isOver = state === 'finished' || state === 'failed';
  if (!isOver) return readEvidence(run.folder.directory, { ...known, leftovers: null });
  const deadline = performance.now() + EXIT_MS;
  while (processIdentity(pid) === process && isRunning(pid) && performance.now() < deadline)
    await sleep(POLL_MS);
  const leftovers = await leftoversOf(run.folder, run.seen);
  return readEvidence(run.folder.directory, { ...known, leftovers });
}
