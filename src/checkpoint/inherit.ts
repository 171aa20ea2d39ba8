import { CounterRandom } from '../parameters/counter-random.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { Checkpoint } from './checkpoint.js';

export interface InheritOptions {
  /**
   * Standard deviation of the normal noise that makes an expert's copy differ from the others; 0 for none.
   */
  readonly noiseStd: number;
  readonly seed: number;
}

/**
 * Initial values of a parameter of a sparse model that inherits from a dense one with as many layers
 * (PanGu-Sigma, arXiv 2303.10845): a parameter of the same name is copied, an expert is a copy of its layer's
 * feed-forward. Null if the dense model has no counterpart (a router).
 *
 * @throws TrainerError `BAD_CHECKPOINT` if the shapes differ or the dense checkpoint is damaged
 */
export function inheritedValues(
  dense: Checkpoint,
  { name, shape }: Pick<ParameterSpec, 'name' | 'shape'>,
  { noiseStd, seed }: InheritOptions,
): Float32Array | null {
  if (dense.has(name)) return dense.read(name, shape);
  const source = name.replace(/\.experts\.\d+\./, '.ffn.');
  if (!dense.has(source)) return null;
  const values = dense.read(source, shape);
  const noise = new Float32Array(values.length);
  new CounterRandom(seed, `inherit.${name}`).fillNormal(noise, noiseStd);
  return values.map((value, i) => value + noise[i]);
}
