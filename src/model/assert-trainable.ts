import { didYouMean } from '../config/nearest.js';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { heldExperts, routerPolicy } from '../routing/index.js';
import { isFrozenBy, isNamedBy } from './frozen.js';
import { moeLayerSpecs } from './moe-layer.js';
import { modelSpecs, sizeOf } from './pangu-sigma.js';

/** Names that a message lists. */
const MAX_NAMES = 12;

/**
 * Checks what train.freeze and train.only name.
 *
 * @throws TrainerError `BAD_CONFIG` if an entry names no parameter, or all are frozen
 */
export function assertTrainable(config: RunConfig): void {
  const { freeze, only } = config.train;
  if (freeze.length === 0 && only === null) return;
  const specs = allSpecs(config);
  const names = specs.map(({ name }) => name);
  for (const entry of freeze)
    if (!names.some((name) => isNamedBy(name, entry)))
      throw refusal(`train.freeze: ${JSON.stringify(entry)} names no parameter${near(entry, names)}`);
  if (!specs.every(isFrozenBy(config.train))) return;
  const { router } = config.moe;
  throw refusal(
    only === 'router' && routerPolicy(router).parameters(config.moe, config.model.dModel).length === 0
      ? `train.only: router ${router} has no parameters to train here`
      : `train.freeze and train.only leave nothing to train`,
  );
}

/** Parameters of the whole model, on whatever rank. */
export function allSpecs(config: RunConfig): ParameterSpec[] {
  const { model, moe } = config;
  const routerSpecs = routerPolicy(moe.router).parameters(moe, model.dModel);
  const { first, count } = heldExperts(moe);
  const experts = Array.from({ length: count }, (_, i) => first + i);
  const sparse = Array.from({ length: model.numSparseLayers }, (_, i) =>
    moeLayerSpecs(model.numDenseLayers + i, routerSpecs, experts, sizeOf(config)),
  );
  return modelSpecs(config, sparse);
}

/** Lists the names at the place to which the beginning of the entry leads. */
function near(entry: string, names: readonly string[]): string {
  const parts = entry.split('.');
  const known = parts.findIndex(
    (_, i) => !names.some((name) => isNamedBy(name, parts.slice(0, i + 1).join('.'))),
  );
  const around = parts.slice(0, known).join('.');
  const inside = names.filter((name) => known === 0 || name.startsWith(`${around}.`));
  const there = [
    ...new Set(
      inside.map((name) =>
        name
          .split('.')
          .slice(0, known + 1)
          .join('.'),
      ),
    ),
  ];
  const more = there.length > MAX_NAMES ? ', ...' : '';
  const meant = didYouMean(entry, there);
  return meant === '' ? `; there is ${there.slice(0, MAX_NAMES).join(', ')}${more}` : meant;
}

function refusal(message: string): TrainerError {
  return new TrainerError('BAD_CONFIG', message);
}
