import { z } from 'zod';
import {
  groupedCosine,
  multiply,
  parameter,
  relu,
  softmax,
  subtract,
  tanh,
  top,
  topP,
} from '../../architecture/build-rule.js';
import { grapFields, grapSpecs, groupsDivide } from '../gates/grap.js';
import { preferenceState, tokenPreferenceField, withPreference } from '../gates/token-preference.js';
import { gateLosses, localExpertsCount, localityFields, numSharedForLosses } from '../losses/gate-losses.js';
import { positive, share } from '../numeric-fields.js';
import { defineRouter, type MoeRule, type MoeWith, unless } from '../policy.js';
import type { Router } from '../router.js';
import { evaluateRule } from '../rules/evaluate-rule.js';
import { cosineOfChoices } from '../rules/group-choice.js';
import type { Candidates } from '../rules/token-choice.js';
import {
  candidateSelectionFields,
  candidateSelectionRules,
  selectInTraining,
  selectOutsideTraining,
} from '../selection/candidate-selection.js';
import { ExpertChoiceState, expertChoiceFields } from '../selection/expert-choice-state.js';
import { voteTableField, withVoteTable } from './vote-table.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token.

const fields = {
  ...localityFields,
  ...grapFields,
  ...expertChoiceFields,
  ...candidateSelectionFields,
  ...tokenPreferenceField,
  ...voteTableField,
  affinityThreshold: share
    .default(0.9)
    .describe('a token takes its best experts until their softmaxed affinities sum to this'),
  maxExpertsPerToken: positive.default(4).describe('l_max, most experts of a token'),
  choiceWeights: z
    .enum(['softmax', 'margin'])
    .default('softmax')
    .describe(
      "weight of an expert's output: softmax of the affinities over the token's experts; margin is how far the affinity is above the threshold of the expert, so that an expert learns which tokens need it",
    ),
};

type PlusMoe = MoeWith<typeof fields>;

const marginHasThresholds: MoeRule<PlusMoe> = ({ choiceWeights, selection, ranking, capacityFactor }) =>
  unless(
    choiceWeights === 'softmax' || (selection !== 'tcr' && ranking === 'affinity' && capacityFactor !== null),
    'choiceWeights',
    'margin is above the threshold of an expert that chooses: use selection both or ecr, ranking affinity, and a capacityFactor; or choiceWeights softmax',
  );

const oneCandidateVotes: MoeRule<PlusMoe> = ({ tableAfter, maxExpertsPerToken, selection }) =>
  unless(
    tableAfter === 0 || (maxExpertsPerToken === 1 && selection !== 'ecr'),
    'tableAfter',
    'is for one expert a token: set maxExpertsPerToken 1 and selection both or tcr, or tableAfter 0',
  );

/**
 * Mean experts per token with an adaptive capacity, measured over a training run (docs/results/routers.md, "Routers that learn").
 */
const MEASURED_EXPERTS_PER_TOKEN = 0.53;

/**
 * LocMoE+ routing, also Expert-Token Resonance (ETR, arXiv 2406.00023): affinities are cosines with GrAP gates (eq. 4);
 * tokens choose experts (eq. 5), experts choose among those tokens (eq. 6) up to an adaptive capacity. Weights are the
 * softmax of the affinities over the token's experts; load-balance and locality loss as in LocMoE.
 *
 * `choiceWeights: margin` is not in the paper. A softmax over a token's experts expresses how they compare, not whether the token
 * needs any. The margin above the threshold has a gradient in the affinity by which the expert chooses, like the router weight of
 * Mixture-of-Depths (arXiv 2404.02258, section 3.3), and is 0 at the boundary between keeping and dropping.
 *
 * `selection` tcr: tokens choose, capacity is first-fit. ecr: a token is a candidate of all experts of its
 * group, experts choose. both: experts choose among the tokens that chose them.
 *
 * `ranking: random` is the control that shows what ranking by affinity is worth: candidates, weights, losses and
 * capacities are the same, but which candidates an expert keeps is drawn anew for each step, token and expert
 * (candidate-selection.ts). The running threshold is then a threshold of these scores, so that an expert keeps equally
 * many tokens outside training too, where the score depends on the token id.
 *
 * Expert choice is global: affinities are all-gathered before the dispatch, and each rank computes the same selection. As it
 * depends on the whole batch, outside training an expert keeps the tokens that reach its running threshold, which is causal.
 */
export const locmoePlusRouter = defineRouter({
  fields,
  rules: [
    groupsDivide,
    localExpertsCount,
    marginHasThresholds,
    oneCandidateVotes,
    ...candidateSelectionRules,
  ],
  // Thresholds are in the units of the ranking scores.
  shapedBy: ['learnedGroups', 'ranking', 'tokenPreference', 'tableAfter'],
  parameters: grapSpecs,
  // Candidates that are kept at random are a control for experiments, which no format supports.
  rule: (moe, dModel) => (moe.ranking === 'random' ? null : ruleOf(moe, dModel)),
  hints: (moe) => ({
    numShared: numSharedForLosses(moe),
    // Classic capacities are assumed to fill up; adaptive ones depend on the text.
    ...(moe.capacityFactor !== null &&
      moe.affinityShare < 1 && {
        kept: {
          perToken: MEASURED_EXPERTS_PER_TOKEN,
          source: 'experts of a token as in the comparison of routers',
        },
      }),
  }),
  create(context) {
    const { moe, dModel } = context;
    const losses = gateLosses(context);
    const carried = new ExpertChoiceState(moe, dModel);
    const preference = preferenceState(context, 1 / Math.sqrt(dModel));
    const state = new Map([...carried.state, ...preference]);
    const rule = ruleOf(moe, dModel);
    const learned: Pick<Router, 'state' | 'route' | 'endStep' | 'skipStep'> = {
      state,
      endStep: () => carried.endStep(),
      skipStep: () => carried.skipStep(),
      route(input) {
        const its = evaluateRule(rule, context, input, state);
        const candidates = its.choose(its.valuesOf(rule.affinities).dataSync<'float32'>());
        const { numChoices } = candidates;
        const weighed = {
          numChoices,
          weightsTK: its.weigh(candidates),
          scores: its.recorded(rule.affinities),
        };
        if (!input.training) {
          const selection = selectOutsideTraining(context, carried, candidates, input.tokenIdsT);
          return { ...selection, ...weighed, auxiliaryLoss: null, gateCosine: null };
        }
        const probsTE = its.valuesOf(rule.choose.by);
        const shared = losses.share(probsTE, input.domainsT, firstChoices(candidates));
        const { sharedOfRank, ...selection } = selectInTraining(context, carried, candidates, shared);
        return {
          ...selection,
          ...weighed,
          auxiliaryLoss: losses.loss(probsTE, sharedOfRank),
          gateCosine: cosineOfChoices(its.cosines()!, selection.expertsTK, numChoices),
        };
      },
    };
    return withVoteTable(context, learned, moe.selection !== 'tcr');
  },
});

function ruleOf(moe: PlusMoe, dModel: number) {
  const affinities = withPreference(groupedCosine(moe.learnedGroups ? 'blocks' : null), moe);
  const sharpness = Math.sqrt(dModel) / moe.temperature;
  const by = softmax(multiply(affinities, sharpness));
  const margin = multiply(subtract(affinities, parameter('threshold')), sharpness);
  const count = choicesPerToken(moe);
  return {
    choose: moe.selection === 'ecr' ? top(by, count) : topP(by, count, moe.affinityThreshold),
    keep: moe.selection === 'tcr' ? null : { scores: affinities, threshold: 'threshold' },
    weigh: moe.choiceWeights === 'margin' ? { by: tanh(relu(margin)), share: false } : { by, share: true },
    affinities,
  };
}

/** Returns K, the candidates of a token. */
function choicesPerToken({ numExperts, expertGroups, selection, maxExpertsPerToken }: PlusMoe): number {
  const group = numExperts / expertGroups;
  return selection === 'ecr' ? group : Math.min(group, maxExpertsPerToken);
}

function firstChoices({ expertsTK, numChoices }: Candidates): Int32Array {
  return expertsTK.filter((_, choice) => choice % numChoices === 0);
}
