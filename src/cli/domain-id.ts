import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';

/**
 * Returns the id of the domain that `--domain` names; a model with one domain needs no name.
 *
 * @throws TrainerError `BAD_CONFIG`
 */
export function domainId({ data: { domains } }: RunConfig, name: string | undefined): number {
  if (name === undefined && domains.length === 1) return 0;
  const domain = name === undefined ? -1 : domains.indexOf(name);
  if (domain < 0)
    throw new TrainerError(
      'BAD_CONFIG',
      name === undefined
        ? `--domain is missing: the model knows ${domains.join(', ')}`
        : `--domain ${name}: the model knows ${domains.join(', ')}`,
    );
  return domain;
}
