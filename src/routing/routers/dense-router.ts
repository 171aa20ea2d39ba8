import { linear, type ShortRule, softmax, wholeRule } from '../../architecture/build-rule.js';
import type { Scores } from '../../architecture/rule.js';
import { denseGateSpread } from '../gates/dense-gate.js';
import { preferenceState, tokenPreferenceField, withPreference } from '../gates/token-preference.js';
import { withZLoss, zLossField } from '../losses/z-loss.js';
import type { MoeWith } from '../policy.js';
import type { Router, RouterContext } from '../router.js';
import { type RuleRouterOptions, ruleRouter } from '../rules/rule-router.js';

export const denseRouterFields = { ...tokenPreferenceField, ...zLossField };

type DenseMoe = MoeWith<typeof denseRouterFields>;

/** Logits of a learned dense gate. */
export const LOGITS = linear('weight');

/** Returns the softmax of the logits with preferences. */
export function denseProbabilities(moe: DenseMoe): Scores {
  return softmax(withPreference(LOGITS, moe));
}

/** Returns the router of a rule with a dense gate, which has preferences and the z-loss. */
export function denseRouter(
  context: RouterContext<DenseMoe>,
  rule: ShortRule & { readonly choose: { readonly by: Scores } },
  state = preferenceState(context, denseGateSpread(context.dModel)),
  options: Omit<RuleRouterOptions, 'state'> = {},
): Pick<Router, 'state' | 'route'> {
  return ruleRouter(wholeRule(rule), context, {
    ...options,
    state,
    loss(its, input) {
      const balance = options.loss?.(its, input) ?? its.balance(rule.choose.by);
      return withZLoss(balance, its.valuesOf(LOGITS), input.domainsT, context);
    },
  });
}
