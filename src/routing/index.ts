import type { RouterName } from '../config/schema.js';
import { hashRouter } from './hash.js';
import { locmoeRouter } from './locmoe.js';
import { locmoePlusRouter } from './locmoe-plus.js';
import type { Router, RouterContext } from './router.js';
import { switchRouter } from './switch.js';

export { expertsOfDomain } from './domain-groups.js';
export type { Router, RouterContext, RoutingDecision } from './router.js';

const routers: Readonly<Record<RouterName, (context: RouterContext) => Router>> = {
  hash: hashRouter,
  switch: switchRouter,
  locmoe: locmoeRouter,
  'locmoe-plus': locmoePlusRouter,
};

/** The policy that `moe.router` names. */
export function createRouter(context: RouterContext): Router {
  return routers[context.moe.router](context);
}
