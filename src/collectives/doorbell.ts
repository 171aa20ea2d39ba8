import { futexWait, futexWaitAsync, futexWake } from '../os/libc.js';

/**
 * Wakes another process by two adjacent 32-bit words in the segment.
 *
 * Word 0: the futex, a counter of wake-ups. Word 1: number of rings after which the owner is woken. The owner
 * reads `value`, arms the doorbell, looks for work once more, and only then waits: a ring in between changes
 * the counter, so no wake-up is lost. A ring that nobody waits for costs no system call.
 */
export class Doorbell {
  constructor(
    private readonly words: Int32Array,
    private readonly index: number,
    private readonly address: bigint,
  ) {}

  get value(): number {
    return Atomics.load(this.words, this.index);
  }

  /** Lets the `rings`-th ring from now wake the owner, once. */
  arm(rings: number): void {
    Atomics.store(this.words, this.index + 1, rings);
  }

  ring(): void {
    if (Atomics.sub(this.words, this.index + 1, 1) === 1) this.wake();
  }

  /** Wakes the owner at once. */
  wake(): void {
    Atomics.add(this.words, this.index, 1);
    futexWake(this.address);
  }

  wait(seen: number, timeoutMs: number): void {
    futexWait(this.address, seen, timeoutMs);
  }

  waitAsync(seen: number, timeoutMs: number): Promise<void> {
    return futexWaitAsync(this.address, seen, timeoutMs);
  }
}
