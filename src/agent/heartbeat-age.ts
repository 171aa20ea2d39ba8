/** Age of each worker's last heartbeat, from the counter in its control block. */
export class HeartbeatAge {
  readonly #seen = new Map<number, { readonly count: number; readonly atMs: number }>();

  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @returns ms since the worker's counter was first seen at `count` */
  idleMs(rank: number, count: number): number {
    const now = this.#nowMs();
    const seen = this.#seen.get(rank);
    if (seen?.count === count) return now - seen.atMs;
    this.#seen.set(rank, { count, atMs: now });
    return 0;
  }
}
