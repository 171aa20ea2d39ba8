import { linear, softmax } from '../architecture/build-rule.js';
import type { Scores } from '../architecture/rule.js';
import { readFloats } from '../ops/read-values.js';
import { tf } from '../ops/tensorflow.js';
import { balanceLoss } from './balance-loss.js';
import { denseGateCosines, denseGateLogits, denseGateSpread } from './dense-gate.js';
import { heldExperts } from './domain-groups.js';
import { classicFit } from './first-fit.js';
import { cosineOfChoices, keepToGroup, valuesOfChoices } from './group-choice.js';
import type { MoeWith } from './policy.js';
import type { Router, RouterContext, RouterInput } from './router.js';
import { TokenPreference, tokenPreferenceField, withPreference } from './token-preference.js';
import { withZLoss, zLossField } from './z-loss.js';

// Shapes: T tokens of this rank, E experts, K choices of a token.

export const denseRouterFields = { ...tokenPreferenceField, ...zLossField };

/** Returns the probabilities of `softmaxRouter` as data. */
export function denseProbabilities(moe: MoeWith<typeof denseRouterFields>): Scores {
  return softmax(withPreference(linear('weight'), moe));
}

export type DenseContext = RouterContext<MoeWith<typeof denseRouterFields>>;

/** The choice of experts from the logits of a dense gate. */
export interface DenseChoice {
  /** Expert of each choice, row-major [T, K]. */
  readonly chosenTK: Int32Array;
  /** Weight of each choice, [T, K], differentiable. */
  readonly weightsTK: tf.Tensor2D;
  /** Probabilities for the load-balance loss, [T, E]; a token's sum to 1 over the experts of its domain. */
  readonly probsTE: tf.Tensor2D;
  /** Scores of the gate, [T, E], and biases, length E, that rank experts in addition to preferences. */
  readonly gateTE: tf.Tensor2D;
  readonly biasE: tf.Tensor1D | null;
}

/** Turns logits, [T, E], into choices. */
export type DenseRule = (logitsTE: tf.Tensor2D, input: RouterInput) => DenseChoice;

/**
 * Routes by a dense gate over the experts of the domain's group. Choices have a capacity only in training.
 *
 * @param numChoices K
 * @param onRouted called in training with the choices per expert of all ranks, length E
 */
export function denseRouter(
  context: DenseContext,
  numChoices: number,
  preference: TokenPreference,
  rule: DenseRule,
  onRouted?: (routedByAllRanksE: Float64Array) => void,
): Pick<Router, 'state' | 'route'> {
  const { moe } = context;
  return {
    state: preference.state,
    route(input) {
      const { domainsT, training } = input;
      const logitsTE = denseGateLogits(input);
      const { chosenTK, weightsTK, probsTE, gateTE, biasE } = rule(logitsTE, input);
      const fitted = classicFit(context, chosenTK, training, numChoices);
      const decision = { ...fitted, weightsTK, scores: preference.scores(input, gateTE, biasE) };
      if (!training) return { ...decision, auxiliaryLoss: null, gateCosine: null };
      onRouted?.(fitted.routedByAllRanksE);
      const cosinesTE = readFloats(() => denseGateCosines(input, logitsTE));
      const weight = moe.auxiliaryLossWeight * heldExperts(moe).count;
      const balance = balanceLoss(weight, fitted.routedByAllRanksE, probsTE);
      return {
        ...decision,
        auxiliaryLoss: withZLoss(balance, logitsTE, domainsT, context),
        gateCosine: cosineOfChoices(cosinesTE, chosenTK, numChoices),
      };
    },
  };
}

/**
 * Returns a dense router that uses the softmax over the experts of the domain's group.
 *
 * @param choose chooses the experts of each token by their probabilities, [T, E] -> row-major [T, K]
 * @param weigh weights of the choices, [T, K]; by default their unchanged probabilities
 */
export function softmaxRouter(
  context: DenseContext,
  numChoices: number,
  choose: (probsTE: tf.Tensor2D, domainsT: Int32Array) => Int32Array,
  weigh: typeof valuesOfChoices = valuesOfChoices,
): Pick<Router, 'state' | 'route'> {
  const preference = new TokenPreference(context, denseGateSpread(context.dModel));
  return denseRouter(context, numChoices, preference, (logitsTE, { domainsT, tokenIdsT }) => {
    const preferredTE = preference.addTo(logitsTE, tokenIdsT);
    const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(preferredTE, domainsT, context.expertsOfDomain));
    const chosenTK = choose(probsTE, domainsT);
    const weightsTK = weigh(probsTE, chosenTK, numChoices);
    return { chosenTK, weightsTK, probsTE, gateTE: logitsTE, biasE: null };
  });
}
