// A control: a random table of the ids of each domain, where `hash` has one of ids. What votes of ids and domains find is how far
// their table is below this one.
import { classicCapacity, countBytes, defineRouter, firstFit, heldExperts } from 'locmoe/routing';

const NOTHING = { flops: 0, touched: 0, operations: 0 };

export default defineRouter({
  price: ({ numExperts }) => ({
    forward: NOTHING,
    backward: NOTHING,
    hostNs: 0,
    gathered: { purpose: 'counts', bytes: countBytes(numExperts) },
    choicesPerToken: 1,
    candidatesPerToken: 0,
    weighted: false,
  }),
  create(context) {
    const { moe, layer, vocabSize, seed, topology, expertsOfDomain } = context;
    const tables = expertsOfDomain.map((group, domain) =>
      shuffled(vocabSize, 1e6 * seed + 1000 * layer + domain).map((rank) => group[rank % group.length]),
    );
    return {
      route({ tokenIdsT, domainsT, training }) {
        const chosenT = tokenIdsT.map((id, t) => tables[domainsT[t]][id]);
        const factor = training ? moe.capacityFactor : null;
        const capacity = classicCapacity(
          factor,
          chosenT.length * topology.worldSize,
          1,
          heldExperts(moe).count,
        );
        return {
          ...firstFit(context, chosenT, capacity),
          weightsTK: null,
          auxiliaryLoss: null,
          gateCosine: null,
        };
      },
    };
  },
});

/** The numbers from 0 in a random order (Fisher and Yates, with the generator of Numerical Recipes). */
function shuffled(length, seed) {
  const order = Int32Array.from({ length }, (_, i) => i);
  let state = seed >>> 0;
  for (let i = length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
