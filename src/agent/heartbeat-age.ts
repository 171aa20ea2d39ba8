/** How long each worker of a node has given no sign of life, from the counters in their control blocks. */
export class HeartbeatAge {
  readonly #seen = new Map<number, { readonly count: number; readonly atMs: number }>();

  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Takes a worker's counter; returns ms since it was first seen at this value. */
  idleMs(rank: number, count: number): number {
    const now = this.#nowMs();
    const seen = this.#seen.get(rank);
    if (seen?.count === count) return now - seen.atMs;
    this.#seen.set(rank, { count, atMs: now });
    return 0;
  }
}
