/** The variance of a whole population, by Welford's method; NaN if any value is not finite. */
export function variance(values: ArrayLike<number>): number {
  let mean = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const distance = values[i]! - mean;
    mean += distance / (i + 1);
    squares += distance * (values[i]! - mean);
  }
  return squares / values.length;
}
