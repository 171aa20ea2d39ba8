import { readFileSync } from 'node:fs';
import { TrainerError } from '../errors.js';
import { formatSize } from '../format.js';

/**
 * Address space of a worker, in bytes: V8 reserves some 10 GB for each WebAssembly memory, without ever using most of it. A
 * worker of the smallest model needs between 53 and 58 GB.
 */
const LEAST_BYTES = 64e9;

/** @throws TrainerError `NO_RESOURCE` where the limit of this process (`ulimit -v`) is too low for workers */
export function assertAddressSpace(): void {
  const [, soft = 'unlimited'] =
    /^Max address space +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  if (soft === 'unlimited' || Number(soft) >= LEAST_BYTES) return;
  throw new TrainerError(
    'NO_RESOURCE',
    `the address space of a process is limited to ${formatSize(Number(soft))}, and a worker reserves ${formatSize(LEAST_BYTES)} of it, ` +
      'most of which it never uses; raise the limit: ulimit -v unlimited',
  );
}
