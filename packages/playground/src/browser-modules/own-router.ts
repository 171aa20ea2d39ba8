import { TrainerError } from 'locmoe/internal/errors';
import type { routerPolicy } from 'locmoe/internal/routing/moe-config';

export function ownRouterPolicy(name: string): ReturnType<typeof routerPolicy> {
  throw new TrainerError('BAD_CONFIG', `moe.router ${name}: this page has the built-in routers alone`);
}
