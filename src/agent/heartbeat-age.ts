import { GRACE } from '../config/timeouts.js';

/** Age of each worker's last heartbeat, from the counter in its control block. */
export class HeartbeatAge {
  readonly #seen = new Map<number, { readonly count: number; ageMs: number; lookedMs: number }>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** @returns ms since the worker's counter was first seen at `count` */
  idleMs(rank: number, count: number): number {
    const now = this.nowMs();
    const seen = this.#seen.get(rank);
    if (seen?.count !== count) {
      this.#seen.set(rank, { count, ageMs: 0, lookedMs: now });
      return 0;
    }
    // A longer interval means that this process itself was suspended.
    seen.ageMs += Math.min(now - seen.lookedMs, GRACE.standstillMs);
    seen.lookedMs = now;
    return seen.ageMs;
  }
}
