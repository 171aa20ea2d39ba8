import { CounterRandom } from '../../parameters/counter-random.js';
import { classicFit } from '../capacity/first-fit.js';
import { share } from '../numeric-fields.js';
import { defineRouter } from '../policy.js';

// Shapes: T tokens of this rank, E experts, V vocabulary.

const fields = {
  hashShare: share
    .default(1)
    .describe(
      'share of the token ids that have an expert in a layer, drawn at random; layers have as few of them in common as can be',
    ),
};

/**
 * Random routed experts (RRE; PanGu-Sigma, arXiv 2303.10845, section 3): a fixed table per layer maps a token id to
 * expert `group[table[token] mod group.length]` of the domain's group. The table is a random permutation of the
 * vocabulary, so the experts of a group get equally many token ids (+-1). Nothing is learned; the weight is 1.
 *
 * `hashShare` is not in the paper: with less than 1, tokens of the remaining ids bypass the layer on the residual, so that
 * experts have fewer tokens, always of the same ids. Layers take turns through one random order of the ids, because having an
 * expert in some layer matters more for a token than having one in every layer (docs/results/routers.md).
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const hashRouter = defineRouter({
  fields,
  shapedBy: ['hashShare'],
  rule: () => ({ choose: { op: 'table', table: 'table' } }),
  hints: ({ hashShare }) =>
    hashShare < 1
      ? { kept: { perToken: hashShare, source: 'moe.hashShare, as if all ids were as frequent' } }
      : {},
  create(context) {
    const { moe, layer, vocabSize, expertsOfDomain, seed } = context;
    // Float32 like every tensor of a checkpoint; exact up to 2^24. -1 for ids without an expert.
    const rankInDeal = Float32Array.from(
      new CounterRandom(seed, `layers.${layer}.router.table`).permutation(vocabSize),
    );
    if (moe.hashShare < 1) {
      const turn = new CounterRandom(seed, 'router.turn').permutation(vocabSize);
      const numIds = Math.round(moe.hashShare * vocabSize);
      for (let id = 0; id < vocabSize; id++)
        // The numIds turns from layer * numIds on, around the end of the order.
        if ((turn[id]! + layer * (vocabSize - numIds)) % vocabSize >= numIds) rankInDeal[id] = -1;
    }
    const choose = (tokenIdsT: Int32Array, domainsT: Int32Array) =>
      tokenIdsT.map((token, t) => {
        const group = expertsOfDomain[domainsT[t]!]!;
        return rankInDeal[token]! < 0 ? -1 : group[rankInDeal[token]! % group.length]!;
      });
    return {
      state: new Map([['table', rankInDeal]]),
      foresee: choose,
      route({ tokenIdsT, domainsT, training }) {
        return {
          ...classicFit(context, choose(tokenIdsT, domainsT), training),
          weightsTK: null,
          auxiliaryLoss: null,
          gateCosine: null,
        };
      },
    };
  },
});
