import { CounterRandom } from '../parameters/counter-random.js';
import { classicCapacity } from './capacity.js';
import { firstCome } from './count-exchange.js';
import type { Router, RouterContext } from './router.js';

/**
 * Random routed experts (PanGu-Sigma, arXiv 2303.10845, section 3): a fixed table for each layer sends a token id
 * to an expert of the domain's group. The table is a random permutation of the vocabulary dealt out in turn, so
 * every expert of a group gets equally many token ids, give or take one. Nothing is learned; the weight is 1. The table
 * is in checkpoints: expert `group[table[token] mod group.length]` of a domain's ascending group gets the token.
 *
 * Evaluation drops nothing, so that a token's output does not depend on the other sequences of its batch.
 */
export function hashRouter(context: RouterContext): Router {
  const { moe, layer, vocabSize, expertsOfDomain, topology, seed } = context;
  // Float32, as all of a checkpoint: exact up to 2^24.
  const rankInDeal = Float32Array.from(
    new CounterRandom(seed, `layers.${layer}.router.table`).permutation(vocabSize),
  );
  return {
    parameterSpecs: [],
    state: new Map([['table', rankInDeal]]),
    route({ tokenIdsT, domainsT, training }) {
      const chosenT = tokenIdsT.map((token, t) => {
        const group = expertsOfDomain[domainsT[t]];
        return group[rankInDeal[token] % group.length];
      });
      const factor = training ? moe.capacityFactor : null;
      const capacity = classicCapacity(factor, chosenT.length * topology.worldSize, 1, moe.numExperts);
      return {
        ...firstCome(context, chosenT, capacity),
        numChoices: 1,
        weightsTK: null,
        auxiliaryLoss: null,
        gateCosine: null,
      };
    },
  };
}
