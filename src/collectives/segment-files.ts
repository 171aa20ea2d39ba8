import { readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { isRunning } from '../os/process-info.js';

export const SHM_DIR = '/dev/shm';

/** Containers may share /dev/shm but not pids, which are valid only in their namespace. */
const PID_NAMESPACE = pidNamespace();

/** Returns the path of the calling agent's segment; its name ends in the agent's pid and pid namespace. */
export function segmentPath(runId: string, generation: number, node: number): string {
  return `${SHM_DIR}/locmoe-${runId}-g${generation}-n${node}-${process.pid}-${PID_NAMESPACE}`;
}

/** Returns the path of an agent's folder of snapshots, which ends in the same pid and pid namespace. */
export function snapshotFolder(runId: string, node: number, pid = process.pid): string {
  return `${SHM_DIR}/locmoe-${runId}-snapshots-n${node}-${pid}-${PID_NAMESPACE}`;
}

/** Makes the calling process the owner of a node's folder of snapshots, if the process `fromPid` owns one. */
export function takeOverSnapshots(runId: string, node: number, fromPid: number): void {
  try {
    renameSync(snapshotFolder(runId, node, fromPid), snapshotFolder(runId, node));
  } catch {
    // There is none, or the calling process has one.
  }
}

/** Returns the two folders of a folder of snapshots that hold local snapshots in turn. */
export function localSnapshotFolders(directory: string): readonly [string, string] {
  return [`${directory}/local-0`, `${directory}/local-1`];
}

/** Removes the segments and snapshots of dead agents of this pid namespace; returns their paths. */
export function removeStaleSegments(): string[] {
  const removed: string[] = [];
  for (const name of readdirSync(SHM_DIR)) {
    const [, pid, namespace] = /^locmoe-.*-n\d+-(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined || namespace !== PID_NAMESPACE || isRunning(Number(pid))) continue;
    try {
      rmSync(`${SHM_DIR}/${name}`, { recursive: true });
      removed.push(`${SHM_DIR}/${name}`);
    } catch {
      // Another agent has just removed it, or it belongs to another user.
    }
  }
  return removed;
}

/** Returns the inode number of the pid namespace; 0 where the kernel shows none. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}
