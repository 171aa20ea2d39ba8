import { CounterRandom } from '../parameters/counter-random.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { Inheritance } from '../rpc/generated/messages.js';
import type { Checkpoint } from './checkpoint.js';

/**
 * Initial values of a parameter of a sparse model that inherits from a dense one with as many layers
 * (PanGu-Sigma, arXiv 2303.10845): a parameter of the same name is copied, an expert is a copy of its layer's
 * feed-forward. Null for the parameters of routers, which have no counterpart.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if a tensor is missing or damaged, or its shape differs
 */
export function inheritedValues(
  dense: Checkpoint,
  { name, shape }: Pick<ParameterSpec, 'name' | 'shape'>,
  { noise, seed }: Inheritance,
): Float32Array | null {
  if (name.includes('.router.')) return null;
  const source = name.replace(/\.experts\.\d+\./, '.ffn.');
  const values = dense.read(source, shape);
  if (source === name || noise === 0) return values;
  const added = new Float32Array(values.length);
  // The seed depends on the name of the expert alone, so noise is the same in every layout.
  new CounterRandom(seed, `inherit.${name}`).fillNormal(added, noise * rootMeanSquare(values));
  return values.map((value, i) => value + added[i]!);
}

function rootMeanSquare(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
