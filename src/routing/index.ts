import { TrainerError } from '../errors.js';
import { hashRouter } from './hash.js';
import { locmoeRouter } from './locmoe.js';
import { locmoePlusRouter } from './locmoe-plus.js';
import type { Router, RouterContext } from './router.js';
import { switchRouter } from './switch.js';

export { expertsOfDomain } from './domain-groups.js';
export type { Router, RouterContext, RouterInput, RoutingDecision } from './router.js';

const routers: Readonly<Record<string, (context: RouterContext) => Router>> = {
  hash: hashRouter,
  switch: switchRouter,
  locmoe: locmoeRouter,
  'locmoe-plus': locmoePlusRouter,
};

/** @throws TrainerError `BAD_CONFIG` if no policy has this name */
export function assertRouterKnown(router: string): void {
  if (!Object.hasOwn(routers, router))
    throw new TrainerError(
      'BAD_CONFIG',
      `moe.router ${router} is unknown; known routers: ${Object.keys(routers).join(', ')}`,
    );
}

/** @throws TrainerError `BAD_CONFIG` if `moe.router` names no known policy */
export function createRouter(context: RouterContext): Router {
  assertRouterKnown(context.moe.router);
  return routers[context.moe.router](context);
}
