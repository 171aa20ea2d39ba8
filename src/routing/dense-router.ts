import { readFloats } from '../ops/read-values.js';
import { tf } from '../ops/tensorflow.js';
import { balanceLoss } from './balance-loss.js';
import { classicCapacity } from './capacity.js';
import { denseGateCosines, denseGateLogits, denseGateSpread } from './dense-gate.js';
import { heldExperts } from './domain-groups.js';
import { firstFit } from './first-fit.js';
import { controlled } from './gate-control.js';
import { cosineOfChoices, keepToGroup, valuesOfChoices } from './group-choice.js';
import type { MoeWith } from './policy.js';
import type { Router, RouterContext } from './router.js';
import { TokenPreference, type tokenPreferenceField } from './token-preference.js';
import { withZLoss, type zLossField } from './z-loss.js';

// Shapes: T tokens of this rank, E experts, K choices of a token.

/**
 * Routes by the softmax of a dense gate over the experts of the domain's group. Choices have a capacity in training alone.
 *
 * @param numChoices K
 * @param choose chooses the experts of each token by their probabilities, [T, E] -> row-major [T, K]
 * @param weigh weights of the choices, [T, K]; by default their probabilities as they are
 */
export function denseRouter(
  context: RouterContext<MoeWith<typeof tokenPreferenceField & typeof zLossField>>,
  numChoices: number,
  choose: (probsTE: tf.Tensor2D, domainsT: Int32Array) => Int32Array,
  weigh: typeof valuesOfChoices = valuesOfChoices,
): Pick<Router, 'state' | 'route'> {
  const { moe, dModel, expertsOfDomain, topology } = context;
  const numHeld = heldExperts(moe).count;
  const preference = new TokenPreference(context, denseGateSpread(dModel));
  return {
    state: preference.state,
    route(input) {
      const { domainsT, tokenIdsT, training, wantsScores } = input;
      const logitsTE = controlled(denseGateLogits(input), input.gateControl);
      const preferredTE = preference.addTo(logitsTE, tokenIdsT);
      const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(preferredTE, domainsT, expertsOfDomain));
      const chosenTK = choose(probsTE, domainsT);
      const numTokens = domainsT.length * topology.worldSize;
      const factor = training ? moe.capacityFactor : null;
      const capacity = classicCapacity(factor, numTokens, numChoices, numHeld);
      const fitted = firstFit(context, chosenTK, capacity, { numChoices });
      const weightsTK = weigh(probsTE, chosenTK, numChoices);
      const scores = wantsScores
        ? {
            gateTE: logitsTE.dataSync<'float32'>().slice(),
            biasE: null,
            preferenceTE: preference.of(tokenIdsT),
          }
        : undefined;
      const decision = { ...fitted, weightsTK, scores };
      if (!training) return { ...decision, auxiliaryLoss: null, gateCosine: null };
      const cosinesTE = readFloats(() => denseGateCosines(input, logitsTE));
      const balance = balanceLoss(moe.auxiliaryLossWeight * numHeld, fitted.routedByAllRanksE, probsTE);
      return {
        ...decision,
        auxiliaryLoss: withZLoss(balance, logitsTE, domainsT, context),
        gateCosine: cosineOfChoices(cosinesTE, chosenTK, numChoices),
      };
    },
  };
}
