import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

const KERNEL_PAGE_BYTES = 4096;
/** Clock ticks per second in /proc (USER_HZ), the same on every architecture of Node. */
const TICKS_PER_S = 100;

/**
 * The scope of process ids: host and pid namespace. Containers that share a volume have the same ids for
 * different processes.
 */
export function machineIdentity(): string {
  return `${hostname()}/${readlinkSync('/proc/self/ns/pid')}`;
}

/**
 * True if a record was written in this process's scope of ids; records of earlier versions do not name
 * theirs.
 */
export function isOfThisMachine({ machine }: { readonly machine?: string | undefined }): boolean {
  return machine === undefined || machine === machineIdentity();
}

/** The machine since it was started, with all its containers. */
export function bootIdentity(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Distinguishes a process from a later one with the same id: boot id and start time in clock ticks. */
export function processIdentity(pid: number): string {
  try {
    return `${bootIdentity()}/${fieldsOf(pid)[19]}`;
  } catch {
    return '';
  }
}

/** Id of the parent of a process, and of its process group; 0 once it is gone. */
export function familyOf(pid: number): { readonly parent: number; readonly group: number } {
  try {
    const [, parent, group] = fieldsOf(pid).map(Number);
    return { parent: parent!, group: group! };
  } catch {
    return { parent: 0, group: 0 };
  }
}

/** State letter (R, S, D, T, Z) and resident bytes of a process; `X` and 0 once it is gone. */
export function processInfo(pid: number): { state: string; residentBytes: number } {
  try {
    const fields = fieldsOf(pid);
    return { state: fields[0]!, residentBytes: Number(fields[21]) * KERNEL_PAGE_BYTES };
  } catch {
    return { state: 'X', residentBytes: 0 };
  }
}

/** User and system time of a living process and its threads, in steps of 10 ms. */
export function cpuSecondsOf(pid: number): number {
  const fields = fieldsOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Whether a process still runs; a zombie does not. */
export function isRunning(pid: number): boolean {
  return !['X', 'Z'].includes(processInfo(pid).state);
}

/** These processes and all their living descendants. */
export function processTree(roots: readonly number[]): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)))
    try {
      parents.set(Number(name), Number(fieldsOf(Number(name))[1]));
    } catch {
      // Ended since the folder was read.
    }
  const isInTree = (pid: number | undefined): boolean =>
    pid !== undefined && (roots.includes(pid) || isInTree(parents.get(pid)));
  return [...parents.keys()].filter(isInTree);
}

/** Proportional set size of a process in bytes: shared pages count in parts; 0 once it is gone. */
export function proportionalBytes(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return 1024 * Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Fields of /proc/PID/stat from the third on; the second, the command, may hold spaces and parentheses. */
function fieldsOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
