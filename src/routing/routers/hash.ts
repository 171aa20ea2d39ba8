import type { ExpertTable } from '../../architecture/rule.js';
import { tf } from '../../ops/tensorflow.js';
import { CounterRandom } from '../../parameters/counter-random.js';
import { classicFit } from '../capacity/first-fit.js';
import { count, share } from '../numeric-fields.js';
import { defineRouter, type MoeRule, type MoeWith, unless } from '../policy.js';
import type { RouterInput } from '../router.js';
import { topKField } from './top-k.js';

// Shapes: T tokens of this rank, E experts, K tables, V vocabulary.

const fields = {
  ...topKField,
  lookBack: count
    .max(2)
    .default(0)
    .describe(
      'how many of the expertsPerToken tables, the last ones, choose by the 1st, .., lookBack-th id before the token and not by its own',
    ),
  hashShare: share
    .default(1)
    .describe(
      'share of the token ids that have experts in a layer, drawn at random; layers have as few of them in common as can be',
    ),
};

type HashMoe = MoeWith<typeof fields>;

const tablesFit: MoeRule<HashMoe> = ({ numExperts, expertGroups, expertsPerToken, lookBack }) => {
  const size = numExperts / expertGroups;
  return (
    // Another rule rejects groups that do not divide the experts.
    unless(
      !Number.isInteger(size) || size % expertsPerToken === 0,
      'expertsPerToken',
      `${expertsPerToken} does not divide the experts of a domain, of which each table has a part: ${size}, numExperts over expertGroups`,
    ) ??
    unless(
      lookBack < expertsPerToken,
      'lookBack',
      `${lookBack} needs more tables than that, and there are expertsPerToken ${expertsPerToken}`,
    )
  );
};

/**
 * Hash routing: fixed random tables map a token to its experts; nothing is learned. With one table it is that of random routed
 * experts (RRE; PanGu-Sigma, arXiv 2303.10845, section 3): a random permutation of the vocabulary maps a token id to expert
 * `group[table[id] mod group.length]` of the domain's group, so experts of a group get equally many token ids (+-1).
 *
 * With K tables, as in MultiHash (Hash Layers, arXiv 2106.04426), the group is divided into K equal parts, and each table chooses
 * in its part; the weights are 1 / K. With `lookBack` n, the last n tables choose by the id 1, .., n tokens before instead, or by
 * the first id that attention sees (`ExpertTable`).
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
  shapedBy: ['hashShare', 'expertsPerToken', 'lookBack'],
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
    const tables = tablesOf(moe).map(({ experts, before }) => ({ experts, before, ranks: drawn(experts) }));
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
        tables.forEach(({ ranks, before }, k) => {
          const rank = ranks[before === 0 ? id : idBefore(t, before)]!;
          chosenTK[t * K + k] = group[k * size + (rank % size)]!;
        });
      });
      return chosenTK;
    };
    return {
      state: new Map(tables.map(({ experts, ranks }) => [experts, ranks])),
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

/** Returns the tables by the names of their state. */
function tablesOf({ expertsPerToken: K, lookBack }: HashMoe): ExpertTable[] {
  return Array.from({ length: K }, (_, k) => ({
    experts: k === 0 ? 'table' : `table${k + 1}`,
    before: Math.max(0, k + 1 - K + lookBack),
  }));
}
