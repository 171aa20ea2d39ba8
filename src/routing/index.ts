import { type MoeConfig, routerPolicy } from './moe-config.js';
import type { Router, RouterContext } from './router.js';
import { createByPolicy } from './rules/rule-router.js';

export { expertsOfDomain, heldExperts } from './groups/domain-groups.js';
export {
  isBuiltInRouter,
  type MoeConfig,
  moeSchema,
  ROUTER_NAMES,
  type RouterName,
  routerPolicy,
} from './moe-config.js';
export type { Router, RouterContext, RouterInput, RoutingDecision } from './router.js';

/** Returns the router of one layer, by `moe.router`. */
export function createRouter(context: RouterContext<MoeConfig>): Router {
  const { moe, dModel } = context;
  const policy = routerPolicy(moe.router);
  const stateless = { state: new Map(), endStep: () => undefined, skipStep: () => undefined };
  return { parameterSpecs: policy.parameters(moe, dModel), ...stateless, ...createByPolicy(policy, context) };
}
