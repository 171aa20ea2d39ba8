import type { Architecture, Attention } from 'locmoe/internal/architecture/architecture';
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

/** Returns the attention of each layer that attends, from the bottom. */
export function attentions({ blocks }: Architecture): Attention[] {
  return blocks.flatMap(({ operation }) => (operation.op === 'attention' ? [operation] : []));
}

/**
 * Returns the number of layers of which a caller keeps keys and values. If experts depend on ids before a token, the keys of a
 * last one are the ids, as callers return nothing but their cache.
 */
export function numCachedLayers(architecture: Architecture): number {
  const looksBack = architecture.blocks.some(({ operation }) => {
    const choose = operation.op === 'experts' ? operation.rule?.choose : undefined;
    return choose?.op === 'table' && choose.tables.some(({ before }) => before > 0);
  });
  return attentions(architecture).length + (looksBack ? 1 : 0);
}
