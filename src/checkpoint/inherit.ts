import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { formatNumberOf } from '../format.js';
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

/**
 * Checks that the model of a run can grow from a checkpoint.
 *
 * @param tokenizerSha256 of the run; left out where it is not known yet
 * @throws TrainerError `BAD_CONFIG` naming each field that differs, with both values
 */
export function assertInheritable(
  { manifest, folder }: Checkpoint,
  { model }: Pick<RunConfig, 'model'>,
  tokenizerSha256 = manifest.tokenizerSha256,
): void {
  const dense = manifest.config.model;
  if (dense.numSparseLayers > 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `--inherit: checkpoint ${folder} has ${formatNumberOf(dense.numSparseLayers, 'sparse layer')} (model.numSparseLayers), and a model ` +
        'grows from a dense one; --init takes the weights of the same model',
    );
  if (model.numSparseLayers === 0)
    throw new TrainerError(
      'BAD_CONFIG',
      '--inherit: model.numSparseLayers is 0 in this run, so there are no experts to grow; give a configuration with ' +
        'sparse layers, or --init for a dense model',
    );
  const wanted = sizesOf(model, tokenizerSha256);
  const stored = sizesOf(dense, manifest.tokenizerSha256);
  const differences = Object.keys(wanted)
    .filter((field) => wanted[field] !== stored[field])
    .map((field) => `${field} is ${stored[field]} there and ${wanted[field]} in this run`);
  if (differences.length > 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `--inherit: the model cannot grow from checkpoint ${folder}: ${differences.join('; ')}`,
    );
}

/** Returns the sizes that dense and sparse model share. */
function sizesOf(
  { numDenseLayers, numSparseLayers, ...sizes }: RunConfig['model'],
  tokenizerSha256: string,
): Record<string, unknown> {
  return {
    'the number of layers (model.numDenseLayers + model.numSparseLayers)': numDenseLayers + numSparseLayers,
    ...Object.fromEntries(Object.entries(sizes).map(([field, value]) => [`model.${field}`, value])),
    'tokenizer SHA-256': tokenizerSha256,
  };
}
