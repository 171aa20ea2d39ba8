import { readFileSync } from 'node:fs';

/**
 * Peak private resident memory of a process in bytes: `VmHWM` less `RssShmem` (proc(5)). The segment stays
 * mapped for the lifetime of the agent, so its pages are in both.
 */
export function privatePeakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kib('VmHWM') - kib('RssShmem')) * 1024;
}
