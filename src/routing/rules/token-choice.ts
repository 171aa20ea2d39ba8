import type { Choice } from '../../architecture/rule.js';
import { inDeviceGroups } from '../groups/device-groups.js';

// Shapes: T tokens, E experts, K choices of a token.

/** Candidate experts of each token, best first. */
export interface Candidates {
  /** K */
  readonly numChoices: number;
  /** Row-major [T, K]; -1 for an empty place. */
  readonly expertsTK: Int32Array;
  /** Affinity of each candidate, [T, K]; 0 in empty places. */
  readonly affinitiesTK: Float32Array;
}

function isBefore(scoresTE: Float32Array, row: number, a: number, b: number): boolean {
  const difference = scoresTE[row + a]! - scoresTE[row + b]!;
  return difference > 0 || (difference === 0 && a < b);
}

/**
 * Returns the best expert of a group after `last`, by score, then lower id. If `last` is -1, it is the best of
 * all; the result is -1 if there is none.
 *
 * @param row index of the token's first score
 */
function nextBest(scoresTE: Float32Array, row: number, group: Int32Array, last: number): number {
  let best = -1;
  for (let i = 0; i < group.length; i++) {
    const expert = group[i]!;
    const isLeft = last < 0 || isBefore(scoresTE, row, last, expert);
    if (isLeft && (best < 0 || scoresTE[row + expert]! > scoresTE[row + best]!)) best = expert;
  }
  return best;
}

const PLAIN = { groups: 1, open: null as number | null, sum: Infinity };

/**
 * Returns the candidates of each token by a rule's choice, which fits the domains (`problemOfRule`), group by group. A `topP` is the
 * token choice of ETR (TCR; arXiv 2406.00023, eq. 5). Ties go to the lower id.
 *
 * @param scoresTE scores of the choice, row-major [T, E]
 * @param affinitiesTE affinities, row-major [T, E]
 * @param expertsOfDomain ids of the experts that a domain may use, by domain id
 */
export function candidatesOf(
  choose: Exclude<Choice, { readonly op: 'table' }>,
  scoresTE: Float32Array,
  affinitiesTE: Float32Array,
  domainsT: Int32Array,
  expertsOfDomain: readonly Int32Array[],
): Candidates {
  const { count, groups, open, sum } = {
    ...PLAIN,
    ...choose,
    ...(choose.op === 'top' ? choose.limit : null),
  };
  const numExperts = scoresTE.length / domainsT.length;
  const groupsOfDomain = inDeviceGroups(expertsOfDomain, groups);
  const numChoices = Math.min(count, Math.max(...expertsOfDomain.map(({ length }) => length)));
  const expertsTK = new Int32Array(domainsT.length * numChoices).fill(-1);
  const affinitiesTK = new Float32Array(domainsT.length * numChoices);
  domainsT.forEach((domain, t) => {
    const row = t * numExperts;
    const all = groupsOfDomain[domain]!;
    const its = open === null ? all : [bestGroups(scoresTE, row, all, open, count / open)];
    its.forEach((group, i) => {
      const first = t * numChoices + (i * numChoices) / its.length;
      const most = Math.min(numChoices / its.length, group.length);
      // Sorting avoids a search for each place, which would be quadratic in the group's size.
      const sorted =
        sum === Infinity && most === group.length
          ? group.toSorted((a, b) => (isBefore(scoresTE, row, a, b) ? -1 : 1))
          : null;
      let reached = 0;
      let last = -1;
      for (let k = 0; k < most && reached < sum; k++) {
        last = sorted === null ? nextBest(scoresTE, row, group, last) : sorted[k]!;
        expertsTK[first + k] = last;
        affinitiesTK[first + k] = affinitiesTE[row + last]!;
        reached += scoresTE[row + last]!;
      }
    });
  });
  return { numChoices, expertsTK, affinitiesTK };
}

/**
 * Returns the experts, by ascending id, of the `most` groups with the highest sum of their `numBest` best scores; ties
 * go to the lower id.
 *
 * @param row index of the token's first score
 */
function bestGroups(
  scoresTE: Float32Array,
  row: number,
  groups: readonly Int32Array[],
  most: number,
  numBest: number,
): Int32Array {
  const sums = groups.map((group) => {
    let sum = 0;
    let last = -1;
    for (let k = 0; k < numBest; k++) {
      last = nextBest(scoresTE, row, group, last);
      sum += scoresTE[row + last]!;
    }
    return sum;
  });
  const ranked = [...groups.keys()].sort((a, b) => sums[b]! - sums[a]! || a - b);
  const open = ranked.slice(0, most).sort((a, b) => a - b);
  return Int32Array.from(open.flatMap((index) => [...groups[index]!]));
}
