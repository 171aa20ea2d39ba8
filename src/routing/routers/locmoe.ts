import {
  add,
  grouped,
  multiply,
  parameter,
  relu,
  softmax,
  top,
  wholeRule,
} from '../../architecture/build-rule.js';
import { classicCapacity } from '../capacity/capacity.js';
import { CapacityEstimate, capacityEstimateFields } from '../capacity/capacity-estimate.js';
import { firstFit } from '../capacity/first-fit.js';
import { grapFields, grapSpecs, groupsDivide } from '../gates/grap.js';
import { preferenceState, tokenPreferenceField, withPreference } from '../gates/token-preference.js';
import { heldExperts } from '../groups/domain-groups.js';
import { gateLosses, localExpertsCount, localityFields, numSharedForLosses } from '../losses/gate-losses.js';
import { withZLoss, zLossField } from '../losses/z-loss.js';
import { defineRouter, type MoeWith } from '../policy.js';
import { evaluateRule } from '../rules/evaluate-rule.js';
import { cosineOfChoices } from '../rules/group-choice.js';
import { gatherScores } from '../selection/gather-scores.js';
import { topKField, topKFits } from './top-k.js';
import { oneExpertVotes, voteTableField, withVoteTable } from './vote-table.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token.

const fields = {
  ...localityFields,
  ...grapFields,
  ...capacityEstimateFields,
  ...tokenPreferenceField,
  ...topKField,
  ...zLossField,
  ...voteTableField,
};

type LocmoeMoe = MoeWith<typeof fields>;

/**
 * LocMoE routing (arXiv 2401.13920): softmax(ReLU(w_i . x + e_i)) over the experts of the domain's group with GrAP
 * weights w_i (eq. 4), top-1 weighted by its probability; load-balance and locality loss (eq. 5, 6). The capacity is
 * classic for the first `capacityBatches` steps, then constant by Theorem 1 (see CapacityEstimate).
 *
 * w_i . x is scaled to a variance of about gateScale^2 for a normalised token, whatever d and E. Where ReLU zeroes a
 * whole group, the greatest argument wins: such tokens (a quarter of all tokens with two experts per group) would
 * otherwise all go to the group's first expert.
 *
 * The paper has K = 1. With K > 1 a token takes the experts with the K greatest arguments, weighted as in
 * Mixtral (arXiv 2401.04088, section 2.1), and both losses and the capacity count choices.
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const locmoeRouter = defineRouter({
  fields,
  rules: [groupsDivide, localExpertsCount, topKFits, oneExpertVotes],
  shapedBy: ['learnedGroups', 'tokenPreference', 'tableAfter'],
  parameters: (moe, dModel) => [...grapSpecs(moe, dModel), { name: 'bias', shape: [moe.numExperts] }],
  rule: ruleOf,
  // The scores of the first `capacityBatches` steps are not among them.
  hints: (moe) => ({ numShared: numSharedForLosses(moe) }),
  create(context) {
    const { moe, layer, dModel, topology, transport } = context;
    const numHeld = heldExperts(moe).count;
    const losses = gateLosses(context);
    const estimate = new CapacityEstimate(moe, dModel);
    const preference = preferenceState(context, moe.gateScale);
    const { logits, ...short } = ruleOf(moe);
    const rule = wholeRule(short);
    return withVoteTable(context, {
      state: new Map([...estimate.state, ...preference]),
      endStep: () => estimate.endStep(),
      skipStep: () => estimate.skipStep(),
      route(input) {
        const { tokenIdsT, domainsT, training } = input;
        const its = evaluateRule(rule, context, input, preference);
        const cosinesTE = training ? its.cosines() : null;
        const candidates = its.choose(cosinesTE ?? undefined);
        const { expertsTK: chosenTK, numChoices } = candidates;
        const probsTE = its.valuesOf(rule.weigh.by);
        const numTokens = tokenIdsT.length * topology.worldSize;
        const classic = classicCapacity(moe.capacityFactor, numTokens, numChoices, numHeld);
        const capacity = training ? estimate.capacity(classic, numTokens * numChoices) : Infinity;
        const shared = training ? losses.share(probsTE, domainsT, chosenTK) : undefined;
        const fitted = firstFit(context, chosenTK, capacity, { numChoices, shared });
        if (training && estimate.isWatching) estimate.observe(gatherScores(transport, layer, candidates));
        return {
          ...fitted,
          scores: its.recorded(short.choose.by),
          weightsTK: its.weigh(candidates),
          auxiliaryLoss: training
            ? withZLoss(losses.loss(probsTE, fitted.sharedOfRank), its.valuesOf(logits), domainsT, context)
            : null,
          gateCosine: cosinesTE && cosineOfChoices(cosinesTE, chosenTK, numChoices),
        };
      },
    });
  },
});

function ruleOf(moe: LocmoeMoe) {
  const gate = multiply(grouped(moe.learnedGroups ? 'blocks' : null), moe.gateScale);
  // w_i . x + e_i, the argument of the ReLU
  const argument = add(gate, parameter('bias'));
  const logits = relu(argument);
  const count = moe.expertsPerToken;
  return {
    logits,
    choose: top(withPreference(argument, moe), count),
    // Preferences are added after the ReLU; before it, a token without a strong preference would lose the weight of its preferred
    // expert.
    weigh: { by: softmax(withPreference(logits, moe)), share: count > 1 },
  };
}
