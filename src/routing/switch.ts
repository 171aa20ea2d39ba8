import { readFloats } from '../ops/read-values.js';
import { tf } from '../ops/tensorflow.js';
import { balanceLoss } from './balance-loss.js';
import { classicCapacity } from './capacity.js';
import { denseGateCosines, denseGateLogits, denseGateSpecs, denseGateSpread } from './dense-gate.js';
import { heldExperts } from './domain-groups.js';
import { firstFit } from './first-fit.js';
import { countBytes } from './gather-counts.js';
import { argmaxOfRows, cosineOfChoices, keepToGroup } from './group-choice.js';
import { defineRouter } from './policy.js';
import { TokenPreference, tokenPreferenceField } from './token-preference.js';

// Shapes: T tokens of this rank, d hidden size, E experts.

/**
 * Switch routing (arXiv 2101.03961, eq. 1 and 2): a learned dense gate W_g, softmax over the experts of the
 * domain's group, top-1 weighted by its probability; load-balance loss (eq. 4).
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const switchRouter = defineRouter({
  fields: tokenPreferenceField,
  shapedBy: ['tokenPreference'],
  parameters: denseGateSpecs,
  price: ({ numExperts: E }, { numTokens: T, dModel: d }) => ({
    forward: { flops: 2 * T * d * E, touched: 30 * T * E, operations: 50 },
    backward: { flops: 4 * T * d * E, touched: 3 * T * d + 25 * T * E, operations: 28 },
    hostNs: 0,
    gathered: { purpose: 'counts', bytes: countBytes(E) },
    choicesPerToken: 1,
    candidatesPerToken: 0,
    weighted: true,
  }),
  gateCosines: (_, input) => denseGateCosines(input),
  create(context) {
    const { moe, dModel, expertsOfDomain, topology } = context;
    const { numExperts, auxiliaryLossWeight } = moe;
    const numHeld = heldExperts(moe).count;
    const preference = new TokenPreference(context, denseGateSpread(dModel));
    return {
      state: preference.state,
      route(input) {
        const { domainsT, tokenIdsT, training } = input;
        const logitsTE = denseGateLogits(input);
        const probsTE: tf.Tensor2D = tf.softmax(
          keepToGroup(preference.addTo(logitsTE, tokenIdsT), domainsT, expertsOfDomain),
        );
        const chosenT = argmaxOfRows(probsTE);
        const factor = training ? moe.capacityFactor : null;
        const capacity = classicCapacity(factor, chosenT.length * topology.worldSize, 1, numHeld);
        const pickTE = tf.oneHot(tf.tensor1d(chosenT, 'int32'), numExperts);
        const fitted = firstFit(context, chosenT, capacity);
        return {
          ...fitted,
          weightsTK: tf.sum(tf.mul(probsTE, pickTE), 1, true),
          auxiliaryLoss: training
            ? balanceLoss(auxiliaryLossWeight * numHeld, fitted.routedByAllRanksE, probsTE)
            : null,
          gateCosine: training
            ? cosineOfChoices(
                readFloats(() => denseGateCosines(input, logitsTE)),
                chosenT,
                1,
              )
            : null,
        };
      },
    };
  },
});
