import { softmax } from '../../architecture/build-rule.js';
import type { Rule } from '../../architecture/rule.js';
import type { tf } from '../../ops/tensorflow.js';
import { classicFit } from '../capacity/first-fit.js';
import type { CommonMoe } from '../common-fields.js';
import { heldExperts } from '../groups/domain-groups.js';
import { balanceLoss } from '../losses/balance-loss.js';
import type { LossInput, RouterPolicy } from '../policy.js';
import type { CreatedRouter, Router, RouterContext, RouterInput } from '../router.js';
import { evaluateRule, NEEDS_STATE } from './evaluate-rule.js';
import { cosineOfChoices } from './group-choice.js';

// Shapes: E experts.

/** Returns the router of one layer. */
export function createByPolicy<Moe extends CommonMoe>(
  { create, rule, loss }: Pick<RouterPolicy<Moe>, 'create' | 'rule' | 'loss'>,
  context: RouterContext<Moe>,
): CreatedRouter {
  const { moe, dModel } = context;
  return create === null
    ? ruleRouter(rule(moe, dModel)!, context, { loss: loss?.bind(null, moe) })
    : create(context);
}

export interface RuleRouterOptions {
  /** Holds the state that the rule names beside parameters (`evaluateRule`). */
  readonly state?: ReadonlyMap<string, Float32Array>;
  /** Auxiliary loss; by default the load-balance loss of the scores by which experts are chosen. */
  readonly loss?: ((its: LossInput, input: RouterInput) => tf.Scalar) | undefined;
  /** Is called in training with the choices per expert of all ranks, length E. */
  readonly onRouted?: (routedByAllRanksE: Float64Array) => void;
}

/**
 * Derives a router from its rule, which has no problem (`problemOfRule`). In training choices have the classic capacity. Outside
 * nothing is dropped.
 */
export function ruleRouter(
  rule: Rule,
  context: RouterContext,
  { state = new Map(), loss, onRouted }: RuleRouterOptions = {},
): Pick<Router, 'state' | 'route'> {
  const { moe } = context;
  if (rule.choose.op === 'table') throw new RangeError(NEEDS_STATE);
  const { by } = rule.choose;
  const distribution = by.op === 'softmax' ? by : softmax(by);
  // A softmax ranks as its argument does, whose margins and entropies say more.
  const ranked = by.op === 'softmax' ? by.of : by;
  return {
    state,
    route(input) {
      const { valuesOf, choose, weigh, recorded, cosines } = evaluateRule(rule, context, input, state);
      const candidates = choose();
      const { expertsTK, numChoices } = candidates;
      const fitted = classicFit(context, expertsTK, input.training, numChoices);
      const lossOf = () => {
        const weight = moe.auxiliaryLossWeight * heldExperts(moe).count;
        const balance: LossInput['balance'] = (of) =>
          balanceLoss(weight, fitted.routedByAllRanksE, 'op' in of ? valuesOf(of) : of);
        onRouted?.(fitted.routedByAllRanksE);
        return loss ? loss({ balance, valuesOf }, input) : balance(distribution);
      };
      const cosinesTE = input.training ? cosines() : null;
      return {
        ...fitted,
        auxiliaryLoss: input.training ? lossOf() : null,
        weightsTK: weigh(candidates),
        scores: recorded(ranked),
        gateCosine: cosinesTE && cosineOfChoices(cosinesTE, expertsTK, numChoices),
      };
    },
  };
}
