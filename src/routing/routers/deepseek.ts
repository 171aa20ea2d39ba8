import { add, parameter, sigmoid, top } from '../../architecture/build-rule.js';
import { denseGateSpecs, denseGateSpread } from '../gates/dense-gate.js';
import { preferenceState, withPreference } from '../gates/token-preference.js';
import { deviceGroupsField, deviceGroupsFit } from '../groups/device-groups.js';
import { positive } from '../numeric-fields.js';
import { defineRouter, type MoeRule, type MoeWith, unless } from '../policy.js';
import { sharesOfGroup } from '../rules/group-choice.js';
import { BalancingBias, balancingBiasField } from './balancing-bias.js';
import { denseRouter, denseRouterFields, LOGITS } from './dense-router.js';
import { topKField, topKFits } from './top-k.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token, D device groups, of which a
// token uses at most M.

const fields = {
  ...denseRouterFields,
  ...topKField,
  ...balancingBiasField,
  ...deviceGroupsField,
  maxDeviceGroups: positive
    .nullable()
    .default(null)
    .describe(
      'device groups at most whose experts a token takes, those with the highest sum of their best expertsPerToken / maxDeviceGroups scores (node-limited routing); null for all',
    ),
};

type DeepseekMoe = MoeWith<typeof fields>;

const nodeLimitFits: MoeRule<DeepseekMoe> = (moe) => {
  const { deviceGroups, maxDeviceGroups: most, expertsPerToken } = moe;
  if (most === null) return undefined;
  return deviceGroupsFit(
    moe,
    (size) =>
      unless(
        most <= deviceGroups,
        'maxDeviceGroups',
        `${most}, but there are ${deviceGroups} deviceGroups`,
      ) ??
      unless(
        expertsPerToken % most === 0,
        'maxDeviceGroups',
        `${most} does not divide expertsPerToken ${expertsPerToken}, of which each device group has a part`,
      ) ??
      unless(
        expertsPerToken <= most * size,
        'maxDeviceGroups',
        `${most} of ${size} experts each have fewer than expertsPerToken ${expertsPerToken}`,
      ),
  );
};

/**
 * Routing of DeepSeek-V3 (arXiv 2412.19437, section 2.1.2): scores are the sigmoid of a learned dense gate (eq. 15); a
 * token takes the K experts of its domain's group with the highest score + bias (eq. 16), weighted by their scores
 * without bias divided by the sum of these (eq. 13). The bias balances the load (BalancingBias). With K = 1 the weight
 * is the score itself: divided by its own sum it would be 1, and the gate would have no gradient.
 *
 * The complementary balance loss (eq. 17 to 20) is computed per batch, not per sequence, with the alpha of all routers,
 * `auxiliaryLossWeight`. The paper's alpha is 0.0001: with the default of 0.01, the loss balances more than the bias.
 *
 * Node-limited routing: with `maxDeviceGroups` M, the experts of a domain are divided into D device groups, and a token
 * takes its experts from the M groups with the highest sum of their K/M best scores. As in DeepSeek's own code, these
 * include the bias. In the paper a group is a node; here D is a field, as routing must not depend on the layout.
 *
 * The paper has no level 1, no capacity and no preferences of token ids; preferences are added after the sigmoid, like
 * the bias, as the sigmoid would flatten them. Its shared experts are not part of a router (`moe.sharedExperts`).
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const deepseekRouter = defineRouter({
  fields,
  rules: [topKFits, nodeLimitFits],
  shapedBy: ['tokenPreference'],
  parameters: denseGateSpecs,
  rule: ruleOf,
  create(context) {
    const bias = new BalancingBias(context);
    // The slope of the sigmoid is 1/4 at 0.
    const preference = preferenceState(context, denseGateSpread(context.dModel) / 4);
    const rule = ruleOf(context.moe);
    const router = denseRouter(context, rule, new Map([['bias', bias.biasE], ...preference]), {
      loss: ({ balance, valuesOf }, { domainsT }) =>
        balance(sharesOfGroup(valuesOf(rule.weigh.by), domainsT, context.expertsOfDomain)),
      onRouted: (routedByAllRanksE) => bias.observe(routedByAllRanksE),
    });
    return { ...router, endStep: () => bias.endStep(), skipStep: () => bias.skipStep() };
  },
});

function ruleOf(moe: DeepseekMoe) {
  const { expertsPerToken: count, deviceGroups: groups, maxDeviceGroups: open } = moe;
  const by = sigmoid(LOGITS);
  const biased = withPreference(add(by, parameter('bias')), moe);
  return {
    choose: top(biased, count, open === null ? null : { groups, open }),
    weigh: { by, share: count > 1 },
  };
}
