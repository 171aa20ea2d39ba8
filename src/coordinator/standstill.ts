import { GRACE } from '../config/timeouts.js';
import { KEEPALIVE_MS } from '../rpc/coordinator-client.js';

/** Detects that this process stood still: stopped by a signal, suspended with its machine, or starved. */
export class StandstillWatch {
  #checkedMs = performance.now();
  #endedMs = Number.NEGATIVE_INFINITY;
  #lastedMs = 0;

  /** @param intervalMs longest time between two checks */
  constructor(private readonly intervalMs: number) {}

  /** Returns the ms for which this process stood still since the last check; 0 if it did not. */
  check(): number {
    const now = performance.now();
    const lateMs = now - this.#checkedMs - this.intervalMs;
    this.#checkedMs = now;
    if (lateMs < GRACE.standstillMs) return 0;
    this.#endedMs = now;
    this.#lastedMs = lateMs;
    return lateMs;
  }

  /** Duration in ms of the last standstill, if it was recent and long enough for nodes to give up on this process; else 0. */
  get missedMs(): number {
    const isNow = performance.now() - this.#endedMs < GRACE.afterStandstillMs;
    return isNow && this.#lastedMs > KEEPALIVE_MS ? this.#lastedMs : 0;
  }
}
