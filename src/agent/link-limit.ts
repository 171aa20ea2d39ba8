/** Speed of a link that is slower than the machine; see `cluster.interNodeLink`. */
export interface LinkSpeed {
  readonly gbps: number;
  readonly latencyMs: number;
}

/**
 * Delays items as a link of that speed would: an item departs once the link is free and its bytes have
 * passed, and arrives after the latency, in order. It has no timers; the owner asks when the next item is
 * due.
 */
export class LinkLimit<T> {
  readonly #queue: { readonly item: T; readonly dueMs: number }[] = [];
  #freeAtMs = 0;

  constructor(
    private readonly speed: LinkSpeed,
    private readonly nowMs: () => number,
  ) {}

  push(item: T, bytes: number): void {
    const bytesPerMs = (this.speed.gbps * 1e9) / 8 / 1000;
    this.#freeAtMs = Math.max(this.nowMs(), this.#freeAtMs) + bytes / bytesPerMs;
    this.#queue.push({ item, dueMs: this.#freeAtMs + this.speed.latencyMs });
  }

  /** Removes and returns the items that have arrived by now, oldest first. */
  takeDue(): T[] {
    const now = this.nowMs();
    let count = 0;
    while (count < this.#queue.length && this.#queue[count]!.dueMs <= now) count++;
    return this.#queue.splice(0, count).map(({ item }) => item);
  }

  /** Time in ms until `takeDue` returns something: 0 if it would now, Infinity if nothing is in flight. */
  get dueInMs(): number {
    return this.#queue.length === 0
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#queue[0]!.dueMs - this.nowMs());
  }
}
