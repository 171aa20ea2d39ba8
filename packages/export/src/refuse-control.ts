import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';

/**
 * @throws TrainerError `BAD_INPUT` for routing that is meant only for experiments and that no format supports
 */
export function refuseControl({ router, ranking }: RunConfig['moe']): void {
  if (router === 'locmoe-plus' && ranking === 'random')
    throw new TrainerError(
      'BAD_INPUT',
      'moe.ranking random cannot be exported: it is a control for experiments; models with ranking affinity can',
    );
}
