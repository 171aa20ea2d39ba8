/** Speed of a link that is slower than the machine; see `cluster.interNodeLink`. */
export interface LinkSpeed {
  readonly gbps: number;
  readonly latencyMs: number;
}

/**
 * Delays messages as a link of that speed would: each waits for the previous ones, takes the time of its bytes on the
 * link, and is delivered one latency later.
 */
export class LinkLimit {
  readonly #queue: { readonly deliver: () => void; readonly dueMs: number }[] = [];
  #freeAtMs = 0;

  constructor(private readonly speed: LinkSpeed) {}

  pass(bytes: number, deliver: () => void): void {
    const bytesPerMs = (this.speed.gbps * 1e9) / 8 / 1000;
    this.#freeAtMs = Math.max(performance.now(), this.#freeAtMs) + bytes / bytesPerMs;
    this.#queue.push({ deliver, dueMs: this.#freeAtMs + this.speed.latencyMs });
    if (this.#queue.length === 1) this.#wait();
  }

  #wait(): void {
    const ms = Math.round(this.#queue[0]!.dueMs - performance.now());
    // A timer waits for at least a millisecond.
    if (ms < 1) setImmediate(() => this.#deliverDue());
    else setTimeout(() => this.#deliverDue(), ms);
  }

  #deliverDue(): void {
    while (this.#queue.length > 0 && this.#queue[0]!.dueMs <= performance.now()) {
      this.#queue[0]!.deliver();
      this.#queue.shift();
    }
    if (this.#queue.length > 0) this.#wait();
  }
}
