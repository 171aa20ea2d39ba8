import type { ExpertTable } from '../../architecture/rule.js';
import { tf } from '../../ops/tensorflow.js';
import { CounterRandom } from '../../parameters/counter-random.js';
import { classicFit } from '../capacity/first-fit.js';
import { count, positive, share } from '../numeric-fields.js';
import { defineRouter, type MoeRule, type MoeWith, unless } from '../policy.js';
import type { RouterInput } from '../router.js';
import { topKField } from './top-k.js';

// Shapes: T tokens of this rank, E experts, K tables, V vocabulary.

const fields = {
  ...topKField,
  ngram: positive
    .max(3)
    .default(1)
    .describe(
      'of the expertsPerToken tables the last ones choose by the last 2, .., ngram ids, all others by the id alone; 1: all by the id alone',
    ),
  lookBack: count.max(2).default(0).describe('tables that look at ids before'),
  hashShare: share
    .default(1)
    .describe(
      'share of the token ids that have experts in a layer, drawn at random; layers have as few of them in common as can be',
    ),
};

type HashMoe = MoeWith<typeof fields>;

const tablesFit: MoeRule<HashMoe> = ({ numExperts, expertGroups, expertsPerToken, ngram }) => {
  const size = numExperts / expertGroups;
  return (
    // Another rule rejects groups that do not divide the experts.
    unless(
      !Number.isInteger(size) || size % expertsPerToken === 0,
      'expertsPerToken',
      `${expertsPerToken} does not divide the experts of a domain, of which each table has a part: ${size}, numExperts over expertGroups`,
    ) ??
    unless(
      ngram <= expertsPerToken,
      'ngram',
      `${ngram} needs as many tables, and there are expertsPerToken ${expertsPerToken}`,
    )
  );
};

/**
 * Hash routing: fixed random tables map a token to its experts; nothing is learned. With one table it is that of random routed
 * experts (RRE; PanGu-Sigma, arXiv 2303.10845, section 3): a random permutation of the vocabulary maps a token id to expert
 * `group[table[id] mod group.length]` of the domain's group, so experts of a group get equally many token ids (+-1).
 *
 * With K tables, as in MultiHash (Hash Layers, arXiv 2106.04426), the group is divided into K equal parts, and each table chooses
 * in its part; the weights are 1 / K. With `ngram` n the last n - 1 tables choose by the last 2, .., n ids, as lookups by n-grams
 * do (Engram, arXiv 2601.07372), as far as attention sees them: ids before add random shifts to the id, mod V (`ExpertTable`).
 *
 * `hashShare` is in none of these papers: with less than 1, tokens of the remaining ids bypass the layer on the residual, so that
 * experts have fewer tokens, always of the same ids. Layers take turns through one random order of the ids, because having an
 * expert in some layer matters more for a token than having one in every layer (docs/results/routers.md).
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const hashRouter = defineRouter({
  fields,
  rules: [tablesFit],
  shapedBy: ['hashShare', 'expertsPerToken', 'ngram'],
  rule: (moe) => ({
    choose: { op: 'table', tables: tablesOf(moe) },
    weigh: { by: { op: 'number', value: 1 / moe.expertsPerToken }, share: false },
  }),
  hints: ({ hashShare, expertsPerToken: K }) =>
    hashShare < 1
      ? { kept: { perToken: hashShare * K, source: 'moe.hashShare, as if all ids were as frequent' } }
      : {},
  create(context) {
    const { moe, layer, vocabSize, expertsOfDomain, seed } = context;
    const { expertsPerToken: K } = moe;
    // Float32 like every tensor of a checkpoint; exact up to 2^24.
    const drawn = (name: string) =>
      Float32Array.from(new CounterRandom(seed, `layers.${layer}.router.${name}`).permutation(vocabSize));
    const named = tablesOf(moe).flatMap(({ experts, shifts }) => [experts, ...shifts]);
    const state = new Map(named.map((name) => [name, drawn(name)]));
    const tables = tablesOf(moe).map(({ experts, shifts }) => ({
      ranks: state.get(experts)!,
      shifts: shifts.map((shift) => state.get(shift)!),
    }));
    // -1 for ids without experts.
    const first = tables[0]!.ranks;
    if (moe.hashShare < 1) {
      const turn = new CounterRandom(seed, 'router.turn').permutation(vocabSize);
      const numIds = Math.round(moe.hashShare * vocabSize);
      for (let id = 0; id < vocabSize; id++)
        // The numIds turns from layer * numIds on, around the end of the order.
        if ((turn[id]! + layer * (vocabSize - numIds)) % vocabSize >= numIds) first[id] = -1;
    }
    const choose = (tokenIdsT: Int32Array, domainsT: Int32Array, idBefore: RouterInput['idBefore']) => {
      const chosenTK = new Int32Array(tokenIdsT.length * K).fill(-1);
      tokenIdsT.forEach((id, t) => {
        if (first[id]! < 0) return;
        const group = expertsOfDomain[domainsT[t]!]!;
        const size = group.length / K;
        tables.forEach(({ ranks, shifts }, k) => {
          let hash = id;
          const back = Math.max(0, k + 1 - K + moe.lookBack);
          for (let n = 1; n <= back; n++) if (idBefore(t, n) >= 0) hash = idBefore(t, n);
          shifts.forEach((shift, i) => {
            const before = idBefore(t, i + 1);
            if (before >= 0) hash += shift[before]!;
          });
          chosenTK[t * K + k] = group[k * size + (ranks[hash % vocabSize]! % size)]!;
        });
      });
      return chosenTK;
    };
    return {
      state,
      foresee: choose,
      route({ tokenIdsT, domainsT, idBefore, training }) {
        return {
          ...classicFit(context, choose(tokenIdsT, domainsT, idBefore), training, K),
          weightsTK: K === 1 ? null : tf.fill([tokenIdsT.length, K], 1 / K),
          auxiliaryLoss: null,
          gateCosine: null,
        };
      },
    };
  },
});

/** Returns the tables by the names of their state; of K tables the last n - 1 have 1, .., n - 1 shifts. */
function tablesOf({ expertsPerToken: K, ngram }: HashMoe): ExpertTable[] {
  return Array.from({ length: K }, (_, k) => {
    const experts = k === 0 ? 'table' : `table${k + 1}`;
    const numShifts = Math.max(0, k - K + ngram);
    return { experts, shifts: Array.from({ length: numShifts }, (__, i) => `${experts}_shift${i + 1}`) };
  });
}
