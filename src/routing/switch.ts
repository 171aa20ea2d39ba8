import { top } from '../architecture/build-rule.js';
import { denseGateCosines, denseGateSpecs } from './dense-gate.js';
import { denseProbabilities, denseRouterFields, softmaxRouter } from './dense-router.js';
import { valuesOfChoices } from './group-choice.js';
import { defineRouter } from './policy.js';
import { renormalizeField, topChoices, topKField, topKFits, topWeights } from './top-choices.js';
import { oneExpertVotes, voteTableField, withVoteTable } from './vote-table.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token.

/**
 * Switch routing (arXiv 2101.03961, eq. 1 and 2): a learned dense gate W_g, softmax over the experts of the domain's group, top-1
 * weighted by its probability; load-balance loss (eq. 4). With K > 1 it is top-k routing as in Mixtral (see topWeights), or
 * without its normalisation as in Qwen2Moe; the loss then counts all choices, each as 1/K of a token.
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const switchRouter = defineRouter({
  fields: { ...denseRouterFields, ...topKField, ...renormalizeField, ...voteTableField },
  rules: [topKFits, oneExpertVotes],
  shapedBy: ['tokenPreference', 'tableAfter'],
  parameters: denseGateSpecs,
  rule(moe) {
    const probabilities = denseProbabilities(moe);
    const count = moe.expertsPerToken;
    return {
      choose: top(probabilities, count),
      weigh: { by: probabilities, share: count > 1 && moe.renormalize },
    };
  },
  gateCosines: (_, input) => denseGateCosines(input),
  create(context) {
    const { moe, expertsOfDomain } = context;
    const K = moe.expertsPerToken;
    const learned = softmaxRouter(
      context,
      K,
      (probsTE, domainsT) => topChoices(probsTE, domainsT, expertsOfDomain, K),
      moe.renormalize ? topWeights : valuesOfChoices,
    );
    return withVoteTable(context, learned);
  },
});
