// Shapes: T tokens, E experts, K choices of a token.

/** Candidate experts of each token, best first. */
export interface Candidates {
  /** K */
  readonly numChoices: number;
  /** Row-major [T, K]; -1 for an empty place. */
  readonly expertsTK: Int32Array;
  /** Affinity (cosine) of each candidate, [T, K]; 0 in empty places. */
  readonly affinitiesTK: Float32Array;
}

export interface TokenChoiceOptions {
  readonly numExperts: number;
  /** Expert ids that a domain may use, by domain id. */
  readonly expertsOfDomain: readonly Int32Array[];
  readonly domainsT: Int32Array;
  /** Minimum sum of the softmaxed affinities of a token's experts; Infinity takes `maxChoices` experts. */
  readonly threshold: number;
  /** l_max; also limited by the size of the domain's group. */
  readonly maxChoices: number;
}

function isBefore(probsTE: Float32Array, row: number, a: number, b: number): boolean {
  const difference = probsTE[row + a]! - probsTE[row + b]!;
  return difference > 0 || (difference === 0 && a < b);
}

/**
 * Returns the best expert of a group after `last`, by probability, then lower id. If `last` is -1, it is the best of
 * all; the result is -1 if there is none.
 *
 * @param row index of the token's first probability
 */
export function nextBest(probsTE: Float32Array, row: number, group: Int32Array, last: number): number {
  let best = -1;
  for (let i = 0; i < group.length; i++) {
    const expert = group[i]!;
    const isLeft = last < 0 || isBefore(probsTE, row, last, expert);
    if (isLeft && (best < 0 || probsTE[row + expert]! > probsTE[row + best]!)) best = expert;
  }
  return best;
}

/**
 * Makes the token choice (TCR; ETR, arXiv 2406.00023, eq. 5): each token takes its top-l experts, with the smallest l
 * whose softmaxed affinities sum to the threshold, at most l_max. Ties go to the lower id.
 *
 * @param probsTE softmaxed affinities, row-major [T, E]
 * @param affinityTE affinities, row-major [T, E]
 */
export function tokenChoice(
  probsTE: Float32Array,
  affinityTE: Float32Array,
  options: TokenChoiceOptions,
): Candidates {
  const { numExperts, expertsOfDomain, domainsT, threshold, maxChoices } = options;
  const numChoices = Math.min(maxChoices, Math.max(...expertsOfDomain.map((group) => group.length)));
  const expertsTK = new Int32Array(domainsT.length * numChoices).fill(-1);
  const affinitiesTK = new Float32Array(domainsT.length * numChoices);
  domainsT.forEach((domain, t) => {
    const row = t * numExperts;
    const group = expertsOfDomain[domain]!;
    const most = Math.min(numChoices, group.length);
    // Sorting avoids a search for each place, which would be quadratic in the group's size.
    const sorted =
      threshold === Infinity && most === group.length
        ? group.toSorted((a, b) => (isBefore(probsTE, row, a, b) ? -1 : 1))
        : null;
    let reached = 0;
    let last = -1;
    for (let k = 0; k < most && reached < threshold; k++) {
      const best = sorted === null ? nextBest(probsTE, row, group, last) : sorted[k]!;
      expertsTK[t * numChoices + k] = best;
      affinitiesTK[t * numChoices + k] = affinityTE[row + best]!;
      reached += probsTE[row + best]!;
      last = best;
    }
  });
  return { numChoices, expertsTK, affinitiesTK };
}
