import { top, wholeRule } from '../../architecture/build-rule.js';
import { denseGateSpecs, denseGateSpread } from '../gates/dense-gate.js';
import { preferenceState, withPreference } from '../gates/token-preference.js';
import { withZLoss } from '../losses/z-loss.js';
import { positive } from '../numeric-fields.js';
import { defineRouter, type MoeWith, unless } from '../policy.js';
import { evaluateRule } from '../rules/evaluate-rule.js';
import { cosineOfChoices } from '../rules/group-choice.js';
import { selectCausally, selectTogether } from '../selection/global-selection.js';
import { RunningThresholds } from '../selection/running-thresholds.js';
import { denseProbabilities, denseRouterFields, LOGITS } from './dense-router.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K candidate experts of a token.

const fields = {
  ...denseRouterFields,
  candidatesPerToken: positive
    .nullable()
    .default(null)
    .describe(
      'most experts that rank a token: its likeliest ones; null: all of its group, which alone fills every expert',
    ),
};

type ExpertChoiceMoe = MoeWith<typeof fields>;

/**
 * Expert choice (Zhou et al., arXiv 2202.09368, section 3.2): S = softmax(X W_g) with a learned dense gate over the
 * experts of the domain's group, and each expert takes the C = ceil(capacityFactor T / n) tokens with the greatest S,
 * with T over all ranks; its output is weighted by S. A token has as many experts as take it, possibly none, and
 * `capacityFactor` on average. Experts are equally loaded by construction, so there is no balance loss.
 *
 * `candidatesPerToken` limits the experts of a token, instead of the linear program of section 3.3: experts
 * choose among the tokens that have them among their most probable experts. It also limits what the ranks
 * exchange, 6 bytes per candidate; an expert that is a candidate of fewer than C tokens is then not full.
 *
 * The paper has no level 1 and one device. Here S is all-gathered before the dispatch, and each rank computes
 * the same choice. Outside training the choice would depend on later tokens, so there an expert takes the
 * tokens whose S reaches its running threshold: its S of the C-th token, averaged over training steps.
 */
export const expertChoiceRouter = defineRouter({
  fields,
  rules: [
    (moe) =>
      unless(
        moe.capacityFactor !== null || choicesPerToken(moe) < moe.numExperts / moe.expertGroups,
        'capacityFactor',
        'null with router expert-choice would send every token to all experts of its group; give a number, or fewer candidatesPerToken',
      ),
  ],
  shapedBy: ['tokenPreference'],
  parameters: denseGateSpecs,
  rule: ruleOf,
  create(context) {
    const { moe, dModel } = context;
    const thresholds = new RunningThresholds(moe.numExperts, moe.capacityFactor !== null);
    const preference = preferenceState(context, denseGateSpread(dModel));
    const rule = wholeRule(ruleOf(moe));
    return {
      state: new Map([...thresholds.state, ...preference]),
      endStep: () => thresholds.endStep(),
      skipStep: () => thresholds.skipStep(),
      route(input) {
        const its = evaluateRule(rule, context, input, preference);
        const candidates = its.choose();
        const { numChoices } = candidates;
        const weighed = {
          numChoices,
          weightsTK: its.weigh(candidates),
          scores: its.recorded(withPreference(LOGITS, moe)),
        };
        if (!input.training) {
          const selection = selectCausally(context, candidates, thresholds.thresholdE);
          return { ...selection, ...weighed, auxiliaryLoss: null, gateCosine: null };
        }
        const { sharedOfRank, ...selection } = selectTogether(context, candidates, { thresholds });
        return {
          ...selection,
          ...weighed,
          auxiliaryLoss: withZLoss(null, its.valuesOf(LOGITS), input.domainsT, context),
          gateCosine: cosineOfChoices(its.cosines()!, selection.expertsTK, numChoices),
        };
      },
    };
  },
});

function ruleOf(moe: ExpertChoiceMoe) {
  const by = denseProbabilities(moe);
  return {
    choose: top(by, choicesPerToken(moe)),
    keep: { scores: by, threshold: 'threshold' },
    weigh: { by, share: false },
  };
}

/** Returns K, the candidate experts of a token. */
function choicesPerToken({ numExperts, expertGroups, candidatesPerToken }: ExpertChoiceMoe): number {
  return Math.min(candidatesPerToken ?? Infinity, numExperts / expertGroups);
}
