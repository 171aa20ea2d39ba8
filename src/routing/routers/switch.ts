import { top } from '../../architecture/build-rule.js';
import { denseGateSpecs } from '../gates/dense-gate.js';
import { defineRouter, type MoeWith } from '../policy.js';
import { denseProbabilities, denseRouter, denseRouterFields } from './dense-router.js';
import { renormalizeField, topKField, topKFits } from './top-k.js';
import { oneExpertVotes, voteTableField, withVoteTable } from './vote-table.js';

const fields = { ...denseRouterFields, ...topKField, ...renormalizeField, ...voteTableField };

/**
 * Switch routing (arXiv 2101.03961, eq. 1 and 2): a learned dense gate W_g, softmax over the experts of the domain's group, top-1
 * weighted by its probability; load-balance loss (eq. 4). With K > 1 it is top-k routing as in Mixtral, or
 * without its normalisation as in Qwen2Moe; the loss then counts all choices, each as 1/K of a token.
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const switchRouter = defineRouter({
  fields,
  rules: [topKFits, oneExpertVotes],
  shapedBy: ['tokenPreference', 'tableAfter'],
  parameters: denseGateSpecs,
  rule: ruleOf,
  create: (context) => withVoteTable(context, denseRouter(context, ruleOf(context.moe))),
});

function ruleOf(moe: MoeWith<typeof fields>) {
  const by = denseProbabilities(moe);
  const count = moe.expertsPerToken;
  return { choose: top(by, count), weigh: { by, share: count > 1 && moe.renormalize } };
}
