import { futexWait, futexWaitAsync, futexWake } from '../os/libc.js';

/**
 * How one process wakes another: two adjacent 32-bit words in the segment.
 *
 * word 0: a counter that changes with every wake-up; the futex. word 1: how many rings the sleeper still wants
 * before it is woken. The owner reads `value`, arms, looks for work once more, and only then waits: a ring in
 * between changes the counter, so no wake-up is lost. A ring that nobody waits for costs no system call.
 */
export class Doorbell {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #address: bigint;

  constructor(words: Int32Array, index: number, address: bigint) {
    this.#words = words;
    this.#index = index;
    this.#address = address;
  }

  get value(): number {
    return Atomics.load(this.#words, this.#index);
  }

  /** The next `rings` rings wake the owner (once). */
  arm(rings: number): void {
    Atomics.store(this.#words, this.#index + 1, rings);
  }

  ring(): void {
    if (Atomics.sub(this.#words, this.#index + 1, 1) === 1) this.wake();
  }

  /** Wakes the owner whatever it waits for. */
  wake(): void {
    Atomics.add(this.#words, this.#index, 1);
    futexWake(this.#address);
  }

  wait(seen: number, timeoutMs: number): void {
    futexWait(this.#address, seen, timeoutMs);
  }

  waitAsync(seen: number, timeoutMs: number): Promise<void> {
    return futexWaitAsync(this.#address, seen, timeoutMs);
  }
}
