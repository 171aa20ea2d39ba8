import { readFileSync } from 'node:fs';

const KERNEL_PAGE_BYTES = 4096;
/** Clock ticks a second in /proc, the same on every architecture that Node runs on. */
const TICKS_PER_S = 100;

/** What tells a process from a later one with the same id: the boot it lives in and its start in clock ticks since. */
export function processIdentity(pid: number): string {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${bootId}/${fieldsOf(pid)[19]}`;
  } catch {
    return '';
  }
}

/** State letter (R, S, D, T, Z) and resident memory of a process; `X` and 0 once it is gone. */
export function processInfo(pid: number): { state: string; residentBytes: number } {
  try {
    const fields = fieldsOf(pid);
    return { state: fields[0], residentBytes: Number(fields[21]) * KERNEL_PAGE_BYTES };
  } catch {
    return { state: 'X', residentBytes: 0 };
  }
}

/** User and system time that a living process has taken with all its threads, in steps of 10 ms. */
export function cpuSecondsOf(pid: number): number {
  const fields = fieldsOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Whether a process still runs; one that has ended and waits to be reaped does not. */
export function isRunning(pid: number): boolean {
  return !['X', 'Z'].includes(processInfo(pid).state);
}

/** Fields of /proc/PID/stat from the third on; the second, the command's name, may hold spaces and parentheses. */
function fieldsOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
