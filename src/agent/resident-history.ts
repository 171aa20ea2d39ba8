/** Time between two samples that are kept, and their number. */
const EVERY_MS = 5_000;
const NUM_KEPT = 4;

interface Sample {
  readonly bytes: number;
  readonly atMs: number;
}

/** Resident memory of a process at the last sample and at some earlier times. */
export class ResidentHistory {
  /** Samples, oldest first. */
  readonly #kept: Sample[] = [];
  #last: Sample = { bytes: 0, atMs: 0 };

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  add(bytes: number): void {
    this.#last = { bytes, atMs: this.nowMs() };
    const newest = this.#kept.at(-1);
    if (newest !== undefined && this.#last.atMs - newest.atMs < EVERY_MS) return;
    this.#kept.push(this.#last);
    if (this.#kept.length > NUM_KEPT) this.#kept.shift();
  }

  /** Describes the samples, e.g. `612 MiB when last looked at (340 MiB 5 s before, 280 MiB 10 s before)`. */
  describe(): string {
    const before = this.#kept
      .filter((sample) => sample !== this.#last)
      .map(({ bytes, atMs }) => `${inMiB(bytes)} ${Math.round((this.#last.atMs - atMs) / 1000)} s before`)
      .reverse();
    const history = before.length === 0 ? '' : ` (${before.join(', ')})`;
    return `${inMiB(this.#last.bytes)} when last looked at${history}`;
  }
}

function inMiB(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
