// Controls of routers that leave tokens out: hash routing in which the ids of a list, drawn at random, have an expert and the
// others none, with the same list in all layers, one that is drawn for each, or lists that share no id as far as there are enough.
import { classicCapacity, countBytes, defineRouter, firstFit, heldExperts, z } from 'locmoe/routing';

const NOTHING = { flops: 0, touched: 0, operations: 0 };

/** Steps in which every token has an expert, and how often an id comes is counted. */
const COUNTED_STEPS = 20;

export default defineRouter({
  fields: {
    share: z.number().gt(0).max(1).describe('share of the tokens that have an expert'),
    lists: z.enum(['same', 'drawn', 'disjoint']).describe('how the lists of two layers differ'),
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
    const expertRanks = ranksOf(vocabSize, 1e6 * seed + 1000 * layer);
    const listRanks = ranksOf(vocabSize, 1e6 * seed + 500 + (moe.lists === 'drawn' ? 1000 * layer : 0));
    const first = moe.lists === 'disjoint' ? (layer * moe.share) % 1 : 0;
    const step = new Float32Array(1);
    // Counts are those of one rank: this control is for one.
    const countV = new Float32Array(vocabSize);
    let listV = null;
    return {
      state: new Map([
        ['step', step],
        ['counts', countV],
      ]),
      endStep: () => void step[0]++,
      route({ tokenIdsT, domainsT, training }) {
        const isListed = step[0] >= COUNTED_STEPS;
        if (isListed) listV ??= listOf(listRanks, countV, first, moe.share);
        else if (training) for (const id of tokenIdsT) countV[id]++;
        const chosenT = tokenIdsT.map((id, t) => {
          const group = expertsOfDomain[domainsT[t]];
          return isListed && listV[id] === 0 ? -1 : group[expertRanks[id] % group.length];
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

/**
 * Returns 1 for each id of the list, which has those in whose order the tokens counted before them are a share of all from `first`
 * to `first + share`, beginning again at 1.
 */
function listOf(ranks, countV, first, share) {
  const listV = new Uint8Array(ranks.length);
  const order = Array.from(ranks.keys()).sort((a, b) => ranks[a] - ranks[b]);
  const all = countV.reduce((a, b) => a + b, 0);
  let before = 0;
  for (const id of order) {
    const middle = (before + countV[id] / 2) / all;
    if ((middle - first + 1) % 1 < share) listV[id] = 1;
    before += countV[id];
  }
  return listV;
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
