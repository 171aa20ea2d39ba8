import { existsSync } from 'node:fs';
import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { TrainerError } from '../../errors.js';
import { addProduct } from '../../parameters/low-rank-pair.js';
import { CONFIG_FILE, MAX_CONFIG_BYTES } from './published-config.js';
import { PublishedTensors } from './published-tensors.js';

// The form of HuggingFace's PEFT: the pair of a linear layer W [outputs, inputs] is lora_A [r, inputs] and
// lora_B [outputs, r], and W + scale lora_B lora_A replaces W.

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

const nothing = z.record(z.string(), z.never()).nullish();
const no = z.literal(false).nullish();
const configSchema = z.object({
  peft_type: z.literal('LORA'),
  base_model_name_or_path: z.string().min(1).nullish(),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
  use_rslora: z.boolean().nullish(),
  use_dora: no,
  fan_in_fan_out: no,
  bias: z.literal('none').nullish(),
  rank_pattern: nothing,
  alpha_pattern: nothing,
  modules_to_save: z.array(z.never()).nullish(),
});

/** Returns the names of the two matrices of a pair, by the name of the published matrix. */
export function adapterPair(published: string): { readonly a: string; readonly b: string } {
  const module = `base_model.model.${published.replace(/\.weight$/, '')}`;
  return { a: `${module}.lora_A.weight`, b: `${module}.lora_B.weight` };
}

/** A LoRA adapter to be added to the weights of its base model. */
export interface Adapter {
  /** Folder of the base model. */
  readonly base: string;
  /**
   * Checks that the adapter has pairs of these matrices only, each matrix being [outputs, inputs].
   *
   * @throws TrainerError `BAD_INPUT` naming a tensor that is missing, of another shape, or of none of these matrices
   */
  check(shapes: ReadonlyMap<string, readonly number[]>): void;
  /** Adds the product of the pair of a matrix to the matrix's values, [outputs, inputs], if there is a pair. */
  addTo(values: Float32Array, published: string, shape: readonly number[]): void;
}

/**
 * Opens the adapter in a folder; null if there is none. Its base model is in the folder that `base_model_name_or_path` names,
 * relative to the working folder or to that of the adapter; if it names none, the adapter is in the folder of its base model.
 *
 * @throws TrainerError `BAD_INPUT` naming the file and the field that is not supported
 */
export function openAdapter(folder: string): Adapter | null {
  const file = path.join(folder, ADAPTER_CONFIG);
  if (!existsSync(file)) return null;
  const { r, lora_alpha: alpha, use_rslora: isStabilized, base_model_name_or_path: named } = readConfig(file);
  const base =
    named == null
      ? folder
      : [named, path.resolve(folder, named)].find((each) => existsSync(path.join(each, CONFIG_FILE)));
  if (base === undefined)
    throw bad(
      `${file}: base_model_name_or_path: there is no model in ${named}; write the folder of the base model there`,
    );
  const tensors = new PublishedTensors(folder, ADAPTER_WEIGHTS, ADAPTER_CONFIG);
  return {
    base,
    check(shapes) {
      const places = new Set<string>();
      for (const [published, [outputs, inputs]] of shapes) {
        const { a, b } = adapterPair(published);
        if (!tensors.has(a) && !tensors.has(b)) continue;
        tensors.check(a, [r, inputs!]);
        tensors.check(b, [outputs!, r]);
        places.add(a).add(b);
      }
      for (const name of tensors.names)
        if (!places.has(name)) throw bad(`${folder}: no matrix of ${base} has a place for tensor ${name}`);
    },
    addTo(values, published, shape) {
      const { a, b } = adapterPair(published);
      if (!tensors.has(a)) return;
      const [outputs, inputs] = shape as [number, number];
      const scale = alpha / (isStabilized ? Math.sqrt(r) : r);
      addProduct(values, tensors.read(b, [outputs, r]), tensors.read(a, [r, inputs]), r, scale);
    },
  };
}

function readConfig(file: string): z.output<typeof configSchema> {
  let written: unknown;
  try {
    written = JSON.parse(readRegularFile(file, MAX_CONFIG_BYTES).toString('utf8'));
  } catch (error) {
    throw bad(`${file} cannot be read: ${(error as Error).message}`);
  }
  const parsed = configSchema.safeParse(written);
  if (parsed.success) return parsed.data;
  const { path: field, message } = parsed.error.issues[0]!;
  throw bad(`${file}: ${field.join('.') || 'configuration'}: ${message}`);
}

function bad(message: string): TrainerError {
  return new TrainerError('BAD_INPUT', message);
}
