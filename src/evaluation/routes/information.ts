import { CounterRandom } from '../../parameters/counter-random.js';
import { type Codes, countPairs, join } from './codes.js';

/** Permutations over which the information due to chance is averaged. */
const PERMUTATIONS = 3;

/** Computes H(label | key) in bits, from the counts without correction. */
export function conditionalEntropy(labels: Codes, keys: Codes): number {
  const rowsOf = new Float64Array(keys.count);
  for (const key of keys.of) rowsOf[key]!++;
  let bits = 0;
  for (const [pair, count] of countPairs(keys, labels))
    bits -= count * Math.log2(count / rowsOf[Math.floor(pair / labels.count)]!);
  return bits / keys.of.length;
}

/**
 * Returns the share of H(label | given) that `fact` explains: the conditional mutual information, adjusted for chance
 * as (I - E) / (H - E), where E is the information if the values of the fact are permuted among the rows with the same
 * `given` (after Vinh, Epps and Bailey, JMLR 11, 2010, whose E is over all such permutations). 1 if the fact determines
 * the label, about 0 if they are unrelated.
 *
 * @returns null if nothing is left to explain
 */
export function explained(labels: Codes, fact: Codes, given: Codes): number | null {
  const entropy = conditionalEntropy(labels, given);
  const informationOf = (of: Int32Array) =>
    entropy - conditionalEntropy(labels, join(given, { of, count: fact.count }));
  let chance = 0;
  for (let i = 0; i < PERMUTATIONS; i++)
    chance += informationOf(permuteWithin(fact.of, given, i)) / PERMUTATIONS;
  const left = entropy - chance;
  return left < 1e-9 ? null : (informationOf(fact.of) - chance) / left;
}

/** Returns the values, permuted among the rows of each group. */
function permuteWithin(values: Int32Array, groups: Codes, draw: number): Int32Array {
  const random = new CounterRandom(1, `routes.permutation.${draw}`);
  const begins = new Int32Array(groups.count + 1);
  for (const group of groups.of) begins[group + 1]!++;
  for (let group = 0; group < groups.count; group++) begins[group + 1]! += begins[group]!;
  const next = begins.slice();
  const rows = new Int32Array(values.length);
  groups.of.forEach((group, row) => {
    rows[next[group]!++] = row;
  });
  const permuted = new Int32Array(values.length);
  for (let group = 0; group < groups.count; group++) {
    const ofGroup = rows.subarray(begins[group], begins[group + 1]);
    const order = ofGroup.slice();
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random.uniform(begins[group]! + i) * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    ofGroup.forEach((row, i) => {
      permuted[row] = values[order[i]!]!;
    });
  }
  return permuted;
}
