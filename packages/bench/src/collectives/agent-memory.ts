import { readFileSync } from 'node:fs';

/**
 * Resident memory of a process that it shares with nobody, at its most since its start, in bytes: `VmHWM` less
 * `RssShmem` of proc(5). The segment is mapped as long as the agent lives, so its pages are in both.
 */
export function privatePeakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kib('VmHWM') - kib('RssShmem')) * 1024;
}
