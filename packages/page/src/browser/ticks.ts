/** Round intervals of time. */
export const STEPS_MS = [
  100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3,
  14400e3, 28800e3, 86400e3,
];

/**
 * Returns the multiples of a step from `low` to `high`, computed as products because sums would accumulate
 * rounding errors.
 */
export function multiplesOf(step: number, low: number, high: number): number[] {
  const first = Math.ceil(low / step - 1e-9);
  const length = Math.max(0, Math.floor(high / step + 1e-9) - first + 1);
  return Array.from({ length }, (_, tick) => Number(((first + tick) * step).toPrecision(15)));
}

/** Returns the smallest of 1, 2, 5, 10 and so on that is at least `least`. */
export function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((digit) => digit * power >= least) ?? 10);
}

/** Returns at most `maxTicks` ticks from `start` to `end`, at round distances from `zero`; all in ms. */
export function roundTicks(start: number, end: number, maxTicks: number, zero = 0): number[] {
  const step =
    STEPS_MS.find((each) => (end - start) / each <= maxTicks) ??
    Math.ceil((end - start) / maxTicks / 86400e3) * 86400e3;
  return multiplesOf(step, start - zero, end - zero).map((tick) => zero + tick);
}

/** Returns at most `maxTicks` round numbers from `low` to `high`. */
export function roundNumbers(low: number, high: number, maxTicks: number): number[] {
  const least = (high - low) / Math.max(1, maxTicks);
  return least > 0 ? multiplesOf(roundStep(least), low, high) : [low];
}

/** Returns the ticks of a logarithmic axis: 1, 2 and 5 times each power of ten, or round numbers within one. */
export function logTicks(low: number, high: number, maxTicks: number): number[] {
  const decades = Math.log10(high / low);
  if (decades < 1) return roundNumbers(low, high, maxTicks).filter((tick) => tick > 0);
  const digits = 3 * decades <= maxTicks ? [1, 2, 5] : [1];
  const every = Math.ceil((digits.length * decades) / Math.max(1, maxTicks));
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const ticks: number[] = [];
  for (let power = first; power <= last; power += every)
    for (const digit of digits) ticks.push(Number((digit * 10 ** power).toPrecision(1)));
  return ticks.filter((tick) => tick >= low && tick <= high);
}
