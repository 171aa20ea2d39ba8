import { readdirSync, readlinkSync, unlinkSync } from 'node:fs';
import { isRunning } from '../os/process-info.js';

export const SHM_DIR = '/dev/shm';

/** Containers may share /dev/shm, but not their pids: a pid means something only in its own namespace. */
const PID_NAMESPACE = pidNamespace();

/** Where the agent that calls this keeps the shared memory of its node; the name ends in its pid and where that counts. */
export function segmentPath(runId: string, generation: number, node: number): string {
  return `${SHM_DIR}/locmoe-${runId}-g${generation}-n${node}-${process.pid}-${PID_NAMESPACE}`;
}

/** Removes the segments of agents that no longer live, as far as it can be told from here; returns their paths. */
export function removeStaleSegments(): string[] {
  const removed: string[] = [];
  for (const name of readdirSync(SHM_DIR)) {
    const [, pid, namespace] = /^locmoe-.*-n\d+-(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined || namespace !== PID_NAMESPACE || isRunning(Number(pid))) continue;
    try {
      unlinkSync(`${SHM_DIR}/${name}`);
      removed.push(`${SHM_DIR}/${name}`);
    } catch {
      // Another agent that starts at the same time was faster, or the file belongs to another user.
    }
  }
  return removed;
}

/** Its inode number; 0 where the kernel shows none. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}
