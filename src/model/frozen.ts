import { didYouMean } from '../config/nearest.js';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { isOfPair } from '../parameters/low-rank-pair.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import { routerPolicy } from '../routing/index.js';
import { allSpecs } from './specs.js';

/** Maximum number of names that a message lists. */
const MAX_NAMES = 12;

type Freezing = Pick<RunConfig['train'], 'freeze' | 'only' | 'lora'>;

/** Returns a function that tells whether a parameter is frozen. */
export function isFrozenBy({ freeze, only, lora }: Freezing): (spec: ParameterSpec) => boolean {
  return ({ name, placement }) =>
    (lora !== null && !isOfPair(name)) ||
    (only === 'experts' && placement !== 'expert') ||
    (only === 'router' && !name.includes('.router.')) ||
    freeze.some((entry) => isNamedBy(name, entry));
}

/** Tells whether an entry is a parameter's name, or a prefix of it that ends before a dot. */
function isNamedBy(name: string, entry: string): boolean {
  return name === entry || name.startsWith(`${entry}.`);
}

/**
 * Returns the parameters that are differentiated even if they are frozen. The backward pass ends at the lowest parameter to
 * differentiate, and its collectives must be the same on every rank, so it must pass through each sparse layer of which some rank
 * trains an expert. The final norm is listed because the router may be all that is trained, and a rank's loss might not depend on it.
 */
export function alwaysDifferentiated(config: RunConfig): string[] {
  const isFrozen = isFrozenBy(config.train);
  const trained = allSpecs(config).filter((spec) => spec.placement === 'expert' && !isFrozen(spec));
  const gains = trained.map(({ name }) => name.replace(/\.experts\..*/, '.ln_ffn.gain'));
  return [...new Set(gains), 'ln_final.gain'];
}

/**
 * Checks the parameters that train.freeze, train.only and train.lora name.
 *
 * @throws TrainerError `BAD_CONFIG` if an entry names no parameter, all are frozen, or a pair is no smaller than its matrix
 */
export function assertTrainable(config: RunConfig): void {
  const { freeze, only, lora } = config.train;
  if (freeze.length === 0 && only === null && lora === null) return;
  const specs = allSpecs(config);
  if (lora !== null) assertPairs(lora, specs);
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

function assertPairs({ rank, on }: NonNullable<Freezing['lora']>, specs: readonly ParameterSpec[]): void {
  const adapted = specs.filter(({ pairScale }) => pairScale !== undefined);
  if (adapted.length === 0) throw refusal(`train.lora.on: ${on.join(', ')}: a dense model has no experts`);
  const narrow = adapted.find(({ shape }) => Math.min(...shape) < rank);
  if (narrow !== undefined)
    throw refusal(
      `train.lora.rank: ${rank} exceeds the smaller dimension of ${narrow.name}, which is ${narrow.shape.join(' x ')}; ` +
        `at most ${Math.min(...narrow.shape)}`,
    );
}

/** Suggests the name that is meant, or lists the names that share the longest known prefix with the entry. */
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
