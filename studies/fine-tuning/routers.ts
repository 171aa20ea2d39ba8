import { readRouters } from '../kit/routers.js';

export const ROUTERS = readRouters('fine-tuning/routers.yaml');
/** The router that the others are held against. */
export const BASELINE = 'switch';

export function labelOf(router: string): string {
  return ROUTERS.find(({ id }) => id === router)!.label;
}
