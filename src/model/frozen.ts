import type { RunConfig } from '../config/schema.js';
import type { ParameterSpec } from '../parameters/parameters.js';

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
