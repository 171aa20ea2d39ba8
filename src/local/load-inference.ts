import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import type { Inference } from '../inference/inference.js';
import { ensureTensorFlow } from './set-up.js';

/**
 * Loads the model of a checkpoint. TensorFlow is set up first if it is missing, which may take minutes, so all
 * arguments are checked before.
 *
 * @throws TrainerError as `ensureTensorFlow` and `openInference`
 */
export async function loadInference(checkpoint: Checkpoint): Promise<Inference> {
  await ensureTensorFlow();
  const { openInference } = await import('../inference/inference.js');
  return openInference(checkpoint);
}

/**
 * Returns the id of the domain that `--domain` names; a model with one domain needs no name.
 *
 * @throws TrainerError `BAD_CONFIG` if the name is unknown, or missing and needed
 */
export function domainId({ data: { domains } }: RunConfig, name: string | undefined): number {
  if (name === undefined && domains.length === 1) return 0;
  const domain = name === undefined ? -1 : domains.indexOf(name);
  if (domain >= 0) return domain;
  const problem = name === undefined ? '--domain is missing' : `--domain ${name}`;
  throw new TrainerError('BAD_CONFIG', `${problem}: the model knows ${domains.join(', ')}`);
}
