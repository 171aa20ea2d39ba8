import { CounterRandom } from '../parameters/counter-random.js';
import type { ParameterSpec } from '../parameters/parameters.js';
import type { Inheritance } from '../rpc/generated/messages.js';
import type { Checkpoint } from './checkpoint.js';

/** Matches the name of a matrix of the shared experts or of a routed expert; the group is the routed expert's id. */
const OF_EXPERT = /\.(?:shared|experts\.(\d+))\./;

/**
 * Returns the initial values of a parameter of a sparse model that inherits from a dense one with as many layers (PanGu-Sigma,
 * arXiv 2303.10845): a parameter of the same name is copied, an expert is a copy of its layer's feed-forward. Where experts are
 * narrower or shared, each has some of the feed-forward's hidden units, whose outputs add up: the shared experts have the first
 * units, the routed ones have slices of the others in turn. Null for the parameters of routers, which have no counterpart.
 *
 * @param sharedWidth total number of hidden units of the shared experts
 * @throws TrainerError `BAD_CHECKPOINT` if a tensor is missing or damaged, or its shape differs
 */
export function inheritedValues(
  dense: Checkpoint,
  { name, shape }: Pick<ParameterSpec, 'name' | 'shape'>,
  { noise, seed }: Inheritance,
  sharedWidth: number,
): Float32Array | null {
  if (name.includes('.router.')) return null;
  const ofExpert = OF_EXPERT.exec(name);
  if (ofExpert === null) return dense.read(name, shape);
  const id = ofExpert[1];
  const values = sliceOf(dense, { name, shape }, id === undefined ? null : Number(id), sharedWidth);
  if (id === undefined || noise === 0) return values;
  const added = new Float32Array(values.length);
  // The seed depends on the name of the expert alone, so the noise is the same in every layout.
  new CounterRandom(seed, `inherit.${name}`).fillNormal(added, noise * rootMeanSquare(values));
  return values.map((value, i) => value + added[i]!);
}

/**
 * Returns the hidden units of the dense feed-forward: columns of w_in and w_gate, [d, F], and rows of w_out, [F, d].
 *
 * @param id id of a routed expert; null for the shared experts
 */
function sliceOf(
  dense: Checkpoint,
  { name, shape }: Pick<ParameterSpec, 'name' | 'shape'>,
  id: number | null,
  sharedWidth: number,
): Float32Array {
  const units = dense.manifest.config.model.dFeedForward;
  const isColumns = !name.endsWith('.w_out');
  const [d, width] = (isColumns ? shape : shape.toReversed()) as [number, number];
  const all = dense.read(name.replace(OF_EXPERT, '.ffn.'), isColumns ? [d, units] : [units, d]);
  const first = id === null ? 0 : sharedWidth + (id % ((units - sharedWidth) / width)) * width;
  if (!isColumns) return all.slice(first * d, (first + width) * d);
  const columns = new Float32Array(d * width);
  for (let i = 0; i < d; i++)
    columns.set(all.subarray(i * units + first, i * units + first + width), i * width);
  return columns;
}

function rootMeanSquare(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
