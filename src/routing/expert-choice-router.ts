import { top } from '../architecture/build-rule.js';
import { readFloats } from '../ops/read-values.js';
import { tf } from '../ops/tensorflow.js';
import { denseGateCosines, denseGateLogits, denseGateSpecs, denseGateSpread } from './dense-gate.js';
import { denseProbabilities, denseRouterFields } from './dense-router.js';
import { selectCausally, selectTogether } from './global-selection.js';
import { cosineOfChoices, keepToGroup, valuesOfChoices } from './group-choice.js';
import { positive } from './numeric-fields.js';
import { defineRouter, type MoeWith, unless } from './policy.js';
import { RunningThresholds } from './running-thresholds.js';
import { tokenChoice } from './token-choice.js';
import { TokenPreference } from './token-preference.js';
import { withZLoss } from './z-loss.js';

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
  rule(moe) {
    const probabilities = denseProbabilities(moe);
    return {
      choose: top(probabilities, choicesPerToken(moe)),
      keep: { scores: probabilities, threshold: 'threshold' },
      weigh: { by: probabilities, share: false },
    };
  },
  gateCosines: (_, input) => denseGateCosines(input),
  create(context) {
    const { moe, dModel, expertsOfDomain } = context;
    const { numExperts } = moe;
    const thresholds = new RunningThresholds(numExperts, moe.capacityFactor !== null);
    const preference = new TokenPreference(context, denseGateSpread(dModel));
    return {
      state: new Map([...thresholds.state, ...preference.state]),
      endStep: () => thresholds.endStep(),
      skipStep: () => thresholds.skipStep(),
      route(input) {
        const { domainsT, tokenIdsT, training } = input;
        const logitsTE = denseGateLogits(input);
        const preferredTE = preference.addTo(logitsTE, tokenIdsT);
        const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(preferredTE, domainsT, expertsOfDomain));
        const probabilitiesTE = probsTE.dataSync<'float32'>();
        const candidates = tokenChoice(probabilitiesTE, probabilitiesTE, {
          numExperts,
          expertsOfDomain,
          domainsT,
          threshold: Infinity,
          maxChoices: choicesPerToken(moe),
        });
        const { expertsTK, numChoices } = candidates;
        const weightsTK = valuesOfChoices(probsTE, expertsTK, numChoices);
        const scores = preference.scores(input, logitsTE);
        if (!training) {
          const selection = selectCausally(context, candidates, thresholds.thresholdE);
          return { ...selection, numChoices, weightsTK, scores, auxiliaryLoss: null, gateCosine: null };
        }
        const { sharedOfRank, ...selection } = selectTogether(context, candidates, { thresholds });
        const cosinesTE = readFloats(() => denseGateCosines(input, logitsTE));
        const gateCosine = cosineOfChoices(cosinesTE, selection.expertsTK, numChoices);
        const auxiliaryLoss = withZLoss(null, logitsTE, domainsT, context);
        return { ...selection, numChoices, weightsTK, scores, auxiliaryLoss, gateCosine };
      },
    };
  },
});

/** Returns K, the candidate experts of a token. */
function choicesPerToken({ numExperts, expertGroups, candidatesPerToken }: ExpertChoiceMoe): number {
  return Math.min(candidatesPerToken ?? Infinity, numExperts / expertGroups);
}
