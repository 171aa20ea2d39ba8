/**
 * Classic expert capacity, ceil(factor * T * k / n) (Switch Transformer, arXiv 2101.03961, eq. 3).
 *
 * @param factor null for no limit
 * @param numTokens tokens of all ranks together
 * @returns choices per expert over all ranks; Infinity without a limit
 */
export function classicCapacity(
  factor: number | null,
  numTokens: number,
  numChoices: number,
  numExperts: number,
): number {
  if (factor === null) return Infinity;
  // Binary fractions: 1.1 * 3200 / 2 is a little more than 1760.
  return Math.ceil(((factor * numTokens * numChoices) / numExperts) * (1 - 1e-12));
}
