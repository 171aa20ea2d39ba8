import { topOfGroups } from '../../architecture/build-rule.js';
import { denseGateSpecs } from '../gates/dense-gate.js';
import { deviceGroupsField, deviceGroupsFit } from '../groups/device-groups.js';
import { positive } from '../numeric-fields.js';
import { defineRouter, type MoeRule, type MoeWith, unless } from '../policy.js';
import { denseProbabilities, denseRouter, denseRouterFields } from './dense-router.js';

// Shapes: T tokens of this rank, d hidden size, E experts, M device groups, K' choices of a token in each of
// them, K = M K' choices of a token.

const fields = {
  ...denseRouterFields,
  ...deviceGroupsField,
  choicesPerDeviceGroup: positive.default(1).describe("K': experts that a token takes in each device group"),
};

type MogeMoe = MoeWith<typeof fields>;

const groupsFit: MoeRule<MogeMoe> = (moe) =>
  deviceGroupsFit(moe, (size, numOpen) =>
    unless(
      moe.choicesPerDeviceGroup <= size,
      'choicesPerDeviceGroup',
      `${moe.choicesPerDeviceGroup}, but a device group has ${size} of the ${numOpen} experts of a domain`,
    ),
  );

/**
 * Mixture of Grouped Experts (MoGE; Pangu Pro MoE, arXiv 2505.21411, section 2.2): a softmax over all experts
 * with a learned dense gate (eq. 5), then the top K' of each device group (eq. 6), weighted by their
 * unchanged probabilities (eq. 7). The load-balance loss (eq. 8) is computed per batch: the share of choices
 * of each expert times its mean probability before the choice, over all experts together.
 *
 * The paper has no level 1 and no capacity, and its M is the number of devices. Its shared experts are `moe.sharedExperts`.
 *
 * The paper puts each of M groups on a device. As routing must not depend on the layout, M is a field here.
 * Ranks hold consecutive experts, so if the number of ranks (or nodes) divides M, each has whole groups:
 * before drops all have the same number of choices, an imbalance score (eq. 3) of 0, whatever the gate
 * learns. With any other layout, or moe.placement, the decision is the same and only the balance is lost.
 *
 * Level 1 comes first: "all experts" are those of the domain's group, and each domain's group is divided into
 * M. The load is then equal over the ranks that share a group; over all ranks it is that of the domains.
 *
 * Evaluation drops nothing, so a token's output does not depend on the rest of its batch.
 */
export const mogeRouter = defineRouter({
  fields,
  rules: [groupsFit],
  shapedBy: ['tokenPreference'],
  parameters: denseGateSpecs,
  rule: ruleOf,
  create: (context) => denseRouter(context, ruleOf(context.moe)),
});

function ruleOf(moe: MogeMoe) {
  const by = denseProbabilities(moe);
  const count = moe.deviceGroups * moe.choicesPerDeviceGroup;
  return { choose: topOfGroups(by, count, moe.deviceGroups), weigh: { by, share: false } };
}
