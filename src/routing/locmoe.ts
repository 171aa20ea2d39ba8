import { add, grouped, multiply, parameter, relu, softmax, top } from '../architecture/build-rule.js';
import { readFloats } from '../ops/read-values.js';
import { tf } from '../ops/tensorflow.js';
import { classicCapacity } from './capacity.js';
import { CapacityEstimate, capacityEstimateFields } from './capacity-estimate.js';
import { heldExperts } from './domain-groups.js';
import { firstFit } from './first-fit.js';
import { controlled } from './gate-control.js';
import { gateLosses, localExpertsCount, localityFields, numSharedForLosses } from './gate-losses.js';
import { gatherScores } from './gather-scores.js';
import {
  blocksOf,
  cosinesOfProjection,
  gateCosines,
  grapFields,
  grapSpecs,
  groupProjection,
  groupsDivide,
} from './grap.js';
import { cosineOfChoices, keepToGroup } from './group-choice.js';
import { defineRouter } from './policy.js';
import { TokenPreference, tokenPreferenceField, withPreference } from './token-preference.js';
import { topChoices, topKField, topKFits, topWeights } from './top-choices.js';
import { oneExpertVotes, voteTableField, withVoteTable } from './vote-table.js';
import { withZLoss, zLossField } from './z-loss.js';

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
 * Mixtral (see topWeights), and both losses and the capacity count choices.
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const locmoeRouter = defineRouter({
  fields,
  rules: [groupsDivide, localExpertsCount, topKFits, oneExpertVotes],
  shapedBy: ['learnedGroups', 'tokenPreference', 'tableAfter'],
  parameters: (moe, dModel) => [...grapSpecs(moe, dModel), { name: 'bias', shape: [moe.numExperts] }],
  rule(moe) {
    const gate = multiply(grouped(moe.learnedGroups ? 'blocks' : null), moe.gateScale);
    const argument = add(gate, parameter('bias'));
    const probabilities = softmax(withPreference(relu(argument), moe));
    const count = moe.expertsPerToken;
    return {
      choose: top(withPreference(argument, moe), count),
      weigh: { by: probabilities, share: count > 1 },
    };
  },
  // The scores of the first `capacityBatches` steps are not among them.
  hints: (moe) => ({ numShared: numSharedForLosses(moe) }),
  gateCosines,
  create(context) {
    const { moe, layer, dModel, expertsOfDomain, topology, transport } = context;
    const { numExperts, expertsPerToken: numChoices } = moe;
    const numHeld = heldExperts(moe).count;
    const losses = gateLosses(context);
    const estimate = new CapacityEstimate(moe, dModel);
    const preference = new TokenPreference(context, moe.gateScale);
    return withVoteTable(context, {
      state: new Map([...estimate.state, ...preference.state]),
      endStep: () => estimate.endStep(),
      skipStep: () => estimate.skipStep(),
      route(input) {
        const { xTD, tokenIdsT, domainsT, training, parameters } = input;
        const blocksD = blocksOf(parameters);
        const projectionTE = groupProjection(xTD, numExperts, blocksD);
        // w_i . x + e_i, the argument of the ReLU
        const gateTE = controlled(tf.mul(projectionTE, moe.gateScale), input.gateControl);
        const biasE = parameters.get('bias') as tf.Tensor1D;
        const argumentTE: tf.Tensor2D = tf.add(gateTE, biasE);
        const noneTE: tf.Tensor2D = tf.zeros([tokenIdsT.length, numExperts]);
        const preferredTE = keepToGroup(preference.addTo(noneTE, tokenIdsT), domainsT, expertsOfDomain);
        // Preferences are added after the ReLU; before it, a token without a strong preference would lose the
        // weight of its preferred expert.
        const logitsTE: tf.Tensor2D = tf.relu(argumentTE);
        const probsTE: tf.Tensor2D = tf.softmax(tf.add(logitsTE, preferredTE));
        const likedTE: tf.Tensor2D = tf.add(argumentTE, preferredTE);
        const chosenTK = topChoices(likedTE, domainsT, expertsOfDomain, numChoices);
        const numTokens = tokenIdsT.length * topology.worldSize;
        const classic = classicCapacity(moe.capacityFactor, numTokens, numChoices, numHeld);
        const capacity = training ? estimate.capacity(classic, numTokens * numChoices) : Infinity;
        const cosinesTE = training ? readFloats(() => cosinesOfProjection(projectionTE, xTD, blocksD)) : null;
        const shared = training ? losses.share(probsTE, domainsT, chosenTK) : undefined;
        const fitted = firstFit(context, chosenTK, capacity, { numChoices, shared });
        if (cosinesTE && estimate.isWatching) {
          const affinitiesTK = Float32Array.from(
            chosenTK,
            (expert, choice) => cosinesTE[Math.floor(choice / numChoices) * numExperts + expert]!,
          );
          estimate.observe(gatherScores(transport, layer, { numChoices, expertsTK: chosenTK, affinitiesTK }));
        }
        return {
          ...fitted,
          scores: preference.scores(input, gateTE, biasE),
          weightsTK: topWeights(probsTE, chosenTK, numChoices),
          auxiliaryLoss: training
            ? withZLoss(losses.loss(probsTE, fitted.sharedOfRank), logitsTE, domainsT, context)
            : null,
          gateCosine: cosinesTE && cosineOfChoices(cosinesTE, chosenTK, numChoices),
        };
      },
    });
  },
});
