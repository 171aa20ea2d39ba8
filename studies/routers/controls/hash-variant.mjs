// Controls of routers that choose by more than a random table of ids: a random table of the ids of each domain, and one in which some
// ids, drawn at random, have an expert and the others none.
import { classicCapacity, countBytes, defineRouter, firstFit, heldExperts, z } from 'locmoe/routing';

const NOTHING = { flops: 0, touched: 0, operations: 0 };

export default defineRouter({
  fields: {
    byDomain: z.boolean().default(false).describe('each domain has a table of its own'),
    share: z.number().gt(0).max(1).default(1).describe('share of the tokens that have an expert'),
  },
  price: ({ numExperts, share }) => ({
    forward: NOTHING,
    backward: NOTHING,
    hostNs: 0,
    gathered: { purpose: 'counts', bytes: countBytes(numExperts) },
    choicesPerToken: 1,
    kept: { perToken: share, source: 'the control, whose list holds this share', isConfigured: true },
    candidatesPerToken: 0,
    weighted: false,
  }),
  create(context) {
    const { moe, layer, vocabSize, seed, topology, expertsOfDomain } = context;
    const rankOfDomain = expertsOfDomain.map((_, domain) =>
      ranksOf(vocabSize, 1e6 * seed + 1000 * layer + (moe.byDomain ? domain : 0)),
    );
    // How many ranks of a domain hold the share, by the tokens of the first batch: with a share the control is for one rank.
    const listed = new Float32Array(1);
    return {
      state: new Map([['listed', listed]]),
      route({ tokenIdsT, domainsT, training }) {
        const ranksT = tokenIdsT.map((id, t) => rankOfDomain[domainsT[t]][id]);
        if (listed[0] === 0) listed[0] = moe.share === 1 ? vocabSize : leastRanks(ranksT, moe.share);
        const chosenT = ranksT.map((rank, t) => {
          const group = expertsOfDomain[domainsT[t]];
          return rank < listed[0] ? group[rank % group.length] : -1;
        });
        const factor = training ? moe.capacityFactor : null;
        const numTokens = chosenT.length * topology.worldSize;
        const capacity = classicCapacity(factor, numTokens, 1, heldExperts(moe).count);
        const fitted = firstFit(context, chosenT, capacity);
        return { ...fitted, weightsTK: null, auxiliaryLoss: null, gateCosine: null };
      },
    };
  },
});

/** As many of the lowest ranks as hold the share of the tokens. */
function leastRanks(ranksT, share) {
  const rising = ranksT.toSorted();
  return rising[Math.ceil(share * rising.length) - 1] + 1;
}

/** Rank of each id in a random order (Fisher and Yates, with the generator of Numerical Recipes). */
function ranksOf(length, seed) {
  const ranks = Int32Array.from({ length }, (_, i) => i);
  let state = seed >>> 0;
  for (let i = length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [ranks[i], ranks[j]] = [ranks[j], ranks[i]];
  }
  return ranks;
}
