import { readdirSync, readFileSync } from 'node:fs';
import { statFieldsOf } from '@locmoe/run-format/process-identity';

const KERNEL_PAGE_BYTES = 4096;
/** Clock ticks per second in /proc (USER_HZ), the same on every architecture of Node. */
const TICKS_PER_S = 100;

/** Returns the ids of a process's parent and process group; 0 once the process is gone. */
export function familyOf(pid: number): { readonly parent: number; readonly group: number } {
  try {
    const [, parent, group] = statFieldsOf(pid).map(Number);
    return { parent: parent!, group: group! };
  } catch {
    return { parent: 0, group: 0 };
  }
}

/** Returns the state letter (R, S, D, T, Z) and resident bytes of a process; `X` and 0 once the process is gone. */
export function processInfo(pid: number): { state: string; residentBytes: number } {
  try {
    const fields = statFieldsOf(pid);
    return { state: fields[0]!, residentBytes: Number(fields[21]) * KERNEL_PAGE_BYTES };
  } catch {
    return { state: 'X', residentBytes: 0 };
  }
}

/** Returns the user and system time of a living process and its threads, in steps of 10 ms. */
export function cpuSecondsOf(pid: number): number {
  const fields = statFieldsOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Tells whether a process still runs; a zombie does not. */
export function isRunning(pid: number): boolean {
  return !['X', 'Z'].includes(processInfo(pid).state);
}

/** Lists these processes and all their living descendants. */
export function processTree(roots: readonly number[]): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)))
    try {
      parents.set(Number(name), Number(statFieldsOf(Number(name))[1]));
    } catch {
      // The process has ended since the folder was read.
    }
  const isInTree = (pid: number | undefined): boolean =>
    pid !== undefined && (roots.includes(pid) || isInTree(parents.get(pid)));
  return [...parents.keys()].filter(isInTree);
}

/** Returns the proportional set size of a process in bytes, where shared pages count in parts; 0 once it is gone. */
export function proportionalBytes(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return 1024 * Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
