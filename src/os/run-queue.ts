import { openSync, readSync } from 'node:fs';

/** `run time, time in the queue, times run` of the main thread, in ns; see Documentation/scheduler/sched-stats.rst. */
const FILE = '/proc/self/schedstat';
const MAX_BYTES = 96;

/** How long this process's main thread could run but had no processor. A read takes some microseconds. */
export class RunQueue {
  readonly #bytes = Buffer.alloc(MAX_BYTES);
  /** Null where the kernel does not count it. */
  readonly #fd: number | null;

  constructor(file = FILE) {
    this.#fd = open(file);
  }

  /** ms since the process began; always 0 where the kernel does not count it. */
  get waitedMs(): number {
    if (this.#fd === null) return 0;
    const length = readSync(this.#fd, this.#bytes, 0, MAX_BYTES, 0);
    return Number(this.#bytes.toString('latin1', 0, length).split(' ')[1]) / 1e6;
  }
}

function open(file: string): number | null {
  try {
    return openSync(file, 'r');
  } catch {
    return null;
  }
}
