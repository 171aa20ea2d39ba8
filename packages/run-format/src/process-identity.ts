import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Returns the scope of process ids: host and pid namespace. Containers that share a volume use the same ids
 * for different processes.
 */
export function machineIdentity(): string {
  return `${hostname()}/${readlinkSync('/proc/self/ns/pid')}`;
}

/**
 * Whether a record was written in this process's scope of ids; records of earlier versions do not contain
 * their scope.
 */
export function isOfThisMachine({ machine }: { readonly machine?: string | undefined }): boolean {
  return machine === undefined || machine === machineIdentity();
}

/** Identifies the machine since its last boot, including all its containers. */
export function bootIdentity(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Distinguishes a process from a later one with the same id: boot id and start time in clock ticks. */
export function processIdentity(pid: number): string {
  try {
    return `${bootIdentity()}/${statFieldsOf(pid)[19]}`;
  } catch {
    return '';
  }
}

/** Returns the fields of /proc/PID/stat from the third on; the second, the command, may hold spaces and parentheses. */
export function statFieldsOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
