/** Returns the least positive integer that both positive integers divide. */
export function leastCommonMultiple(a: number, b: number): number {
  return (a / greatestCommonDivisor(a, b)) * b;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Names the positive multiples of `divisor` next to `value`: "30 or 33", or "12" if none is below. */
export function multiplesAround(value: number, divisor: number): string {
  const below = Math.floor(value / divisor) * divisor;
  return below === 0 ? `${divisor}` : `${below} or ${below + divisor}`;
}
