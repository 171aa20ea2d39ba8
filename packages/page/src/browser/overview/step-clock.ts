/** Converts steps to wall-clock times (ms since 1970) or token counts, and back, by linear interpolation. */
export class StepClock {
  readonly #steps: readonly number[];
  readonly #times: readonly number[];

  /**
   * @param steps ascending
   * @param times when each step ended, or the number of tokens up to then
   * @param startedAt when the first step began, or 0 for tokens
   */
  constructor(steps: readonly (number | null)[], times: readonly (number | null)[], startedAt: number) {
    const known = steps
      .map((step, index) => [step, times[index]] as const)
      .filter((pair): pair is readonly [number, number] => pair[0] !== null && pair[1] !== null);
    const first = known[0]?.[0] ?? 1;
    const start = Math.min(startedAt, known[0]?.[1] ?? startedAt);
    this.#steps = [first - 1, ...known.map(([step]) => step)];
    this.#times = [start, ...known.map(([, time]) => time)];
  }

  timeOf(step: number): number {
    return interpolate(this.#steps, this.#times, step);
  }

  stepAt(time: number): number {
    return interpolate(this.#times, this.#steps, time);
  }
}

/** Interpolates linearly, and extrapolates beyond the ends. */
function interpolate(from: readonly number[], to: readonly number[], value: number): number {
  if (from.length < 2) return to[0]!;
  let [low, high] = [1, from.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (from[middle]! < value) low = middle + 1;
    else high = middle;
  }
  const width = from[low]! - from[low - 1]!;
  const share = width === 0 ? 1 : (value - from[low - 1]!) / width;
  return to[low - 1]! + share * (to[low]! - to[low - 1]!);
}
