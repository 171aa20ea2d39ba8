import type { StartPart } from '@locmoe/run-format';
import { monotonicMs } from '../os/monotonic-clock.js';

/** A part of the start of a rank, by the machine's monotonic clock. */
export interface TimedPart {
  readonly name: StartPart;
  readonly startMs: number;
  readonly endMs: number;
}

/** Times the parts of the start of a rank, which follow one another: the first ones in the node agent, the others in the worker. */
export class StartClock {
  readonly parts: TimedPart[];
  #lastMs: number;

  /** @param before parts that are over; without them the start begins now */
  constructor(before: readonly TimedPart[] = []) {
    this.parts = [...before];
    this.#lastMs = before.at(-1)?.endMs ?? monotonicMs();
  }

  /** Ends a part that began with the end of the previous one; one that was over by then, as in a loaded process, took no time. */
  end(name: StartPart, endMs = monotonicMs()): void {
    if (endMs <= this.#lastMs) return;
    this.parts.push({ name, startMs: this.#lastMs, endMs });
    this.#lastMs = endMs;
  }

  /** The time in ms by part. */
  get partsMs(): Partial<Record<StartPart, number>> {
    const sums: Partial<Record<StartPart, number>> = {};
    for (const { name, startMs, endMs } of this.parts) sums[name] = (sums[name] ?? 0) + endMs - startMs;
    return sums;
  }
}
