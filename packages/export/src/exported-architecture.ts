import type { Architecture } from 'locmoe/internal/architecture/architecture';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { describe } from 'locmoe/internal/model/describe';

/**
 * Returns the model as data, for a format that can hold any of them.
 *
 * @throws TrainerError `BAD_INPUT` if the router has no rule as data
 */
export function exportedArchitecture(config: RunConfig): Architecture {
  const architecture = describe(config);
  if (architecture.blocks.some(({ operation }) => operation.op === 'experts' && operation.rule === null))
    throw new TrainerError(
      'BAD_INPUT',
      `moe.router ${config.moe.router} cannot be exported with these settings: it has no \`rule\` (docs/extending.md)`,
    );
  return architecture;
}
