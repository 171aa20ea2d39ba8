import { CounterRandom } from '../model/counter-random.js';
import { capacityOfWorld, classicCapacity, keepFirstCome } from './capacity.js';
import { type Router, type RouterContext, sharesNothing } from './router.js';

/**
 * Random routed experts (PanGu-Sigma, arXiv 2303.10845, section 3): a fixed table for each layer sends a token id
 * to an expert of the domain's group. The table is a random permutation of the vocabulary dealt out in turn, so
 * every expert of a group gets equally many token ids, give or take one. Nothing is learned; the weight is 1.
 *
 * Evaluation drops nothing, so that a token's output does not depend on the other sequences of its batch.
 */
export function hashRouter({
  moe,
  layer,
  vocabSize,
  expertsOfDomain,
  topology,
  seed,
}: RouterContext): Router {
  const rankInDeal = new CounterRandom(seed, `layers.${layer}.router.table`).permutation(vocabSize);
  return {
    parameterSpecs: [],
    state: new Map(),
    route({ tokenIdsT, domainsT, training }) {
      const chosenT = tokenIdsT.map((token, t) => {
        const group = expertsOfDomain[domainsT[t]];
        return group[rankInDeal[token] % group.length];
      });
      const factor = training ? moe.capacityFactor : null;
      const capacity = classicCapacity(factor, chosenT.length, 1, moe.numExperts);
      return {
        ...keepFirstCome(chosenT, moe.numExperts, capacity),
        numChoices: 1,
        weightsTK: null,
        capacityE: capacityOfWorld(capacity, moe.numExperts, topology.worldSize),
        ...sharesNothing,
        auxiliaryLoss: null,
        gateCosine: null,
      };
    },
  };
}
