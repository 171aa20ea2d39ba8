import { TrainerError } from 'locmoe/internal/errors';
import { BASELINE, type VariantId } from '../routers/variants.js';

export const PLUS: VariantId = 'locmoe-plus';
/** In report order, with the settings of `bench routers`. */
const ROUTERS: readonly VariantId[] = [BASELINE, 'locmoe', 'locmoe-plus-tcr', 'locmoe-plus-ecr', PLUS];

export interface Model {
  readonly router: VariantId;
  readonly seed: number;
}

export function modelId({ router, seed }: Model): string {
  return `${router}-seed${seed}`;
}

/**
 * All routers of a seed, then those of the next.
 *
 * @param only routers; empty for all
 * @throws TrainerError `BAD_INPUT` naming an unknown one
 */
export function modelsOf(only: readonly string[], numSeeds: number): Model[] {
  const unknown = only.find((word) => !ROUTERS.some((router) => router === word));
  if (unknown !== undefined)
    throw new TrainerError('BAD_INPUT', `--only ${unknown}: expected one of ${ROUTERS.join(', ')}`);
  const routers = only.length === 0 ? ROUTERS : ROUTERS.filter((router) => only.includes(router));
  return Array.from({ length: numSeeds }, (_, i) =>
    routers.map((router): Model => ({ router, seed: i + 1 })),
  ).flat();
}
