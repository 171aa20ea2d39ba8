import type { RunConfig } from '../config/schema.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { heldExperts } from '../routing/index.js';
import { expertSpecs } from './experts.js';
import type { FeedForwardSize } from './feed-forward.js';

type Freezing = Pick<RunConfig['train'], 'freeze' | 'only'>;

/** Whether a parameter stays as it is. */
export function isFrozenBy({ freeze, only }: Freezing): (spec: ParameterSpec) => boolean {
  return ({ name, placement }) =>
    (only === 'experts' && placement !== 'expert') ||
    (only === 'router' && !name.includes('.router.')) ||
    freeze.some((entry) => isNamedBy(name, entry));
}

/** Whether an entry is a name, or the beginning of one that ends where a part of it does. */
export function isNamedBy(name: string, entry: string): boolean {
  return name === entry || name.startsWith(`${entry}.`);
}

/**
 * Parameters that are differentiated even if they are frozen. The backward pass goes down as far as there is something to
 * differentiate, and its collectives must be the same on every rank: so it goes through each sparse layer of which some
 * rank trains an expert. The last norm is for a router that the loss does not depend on.
 */
export function alwaysDifferentiated({ model, moe, train }: RunConfig, size: FeedForwardSize): string[] {
  const { first, count } = heldExperts(moe);
  const experts = Array.from({ length: count }, (_, i) => first + i);
  const isFrozen = isFrozenBy(train);
  const sparse = Array.from(
    { length: model.numSparseLayers },
    (_, i) => `layers.${model.numDenseLayers + i}`,
  );
  return [
    ...sparse
      .filter((prefix) => !expertSpecs(`${prefix}.experts`, experts, size).every(isFrozen))
      .map((prefix) => `${prefix}.ln_ffn.gain`),
    'ln_final.gain',
  ];
}
