import { KEEPALIVE_MS } from '../rpc/coordinator-client.js';

/** A check that comes later than this was held up by more than other work. */
const SUSPENDED_MS = 2_000;
/** Nodes that gave up on this process are heard of within this time once it goes on. */
const HEARD_WITHIN_MS = 10_000;

/** Notices when this process stood still: stopped by a signal, suspended with its machine, or without a processor. */
export class StandstillWatch {
  #checkedMs = performance.now();
  #endedMs = Number.NEGATIVE_INFINITY;
  #lastedMs = 0;

  /** @param intervalMs how often it is checked at least */
  constructor(readonly intervalMs: number) {}

  /** Returns for how many ms this process stood still since the last check; 0 if it did not. */
  check(): number {
    const now = performance.now();
    const lateMs = now - this.#checkedMs - this.intervalMs;
    this.#checkedMs = now;
    if (lateMs < SUSPENDED_MS) return 0;
    this.#endedMs = now;
    this.#lastedMs = lateMs;
    return lateMs;
  }

  /** How long it stood still in ms, if a moment ago and for so long that nodes took it for gone; else 0. */
  get missedMs(): number {
    const isNow = performance.now() - this.#endedMs < HEARD_WITHIN_MS;
    return isNow && this.#lastedMs > KEEPALIVE_MS ? this.#lastedMs : 0;
  }
}
