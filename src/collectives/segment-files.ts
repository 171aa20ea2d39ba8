import { readdirSync, unlinkSync } from 'node:fs';
import { isRunning } from '../observability/process-info.js';

export const SHM_DIR = '/dev/shm';

/** Where the agent that calls this keeps the shared memory of its node; the name ends in its pid. */
export function segmentPath(runId: string, generation: number, node: number): string {
  return `${SHM_DIR}/locmoe-${runId}-g${generation}-n${node}-${process.pid}`;
}

/** Removes the segments of agents that no longer live; returns their paths. */
export function removeStaleSegments(): string[] {
  const removed: string[] = [];
  for (const name of readdirSync(SHM_DIR)) {
    const pid = /^locmoe-.*-n\d+-(\d+)$/.exec(name)?.[1];
    if (pid === undefined || isRunning(Number(pid))) continue;
    try {
      unlinkSync(`${SHM_DIR}/${name}`);
      removed.push(`${SHM_DIR}/${name}`);
    } catch {
      // Another agent that starts at the same time was faster, or the file belongs to another user.
    }
  }
  return removed;
}
