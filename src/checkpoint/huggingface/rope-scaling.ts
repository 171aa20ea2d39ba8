import { z } from 'zod';
import type { LlamaModel } from '../../config/model-schema.js';

/** Schema of `rope_scaling`, or of `rope_parameters` since transformers 5. */
export const ropeSchema = z.looseObject({
  rope_theta: z.number().positive().optional(),
  rope_type: z.string().optional(),
  type: z.string().optional(),
  factor: z.number().optional(),
  low_freq_factor: z.number().optional(),
  high_freq_factor: z.number().optional(),
  original_max_position_embeddings: z.number().int().positive().optional(),
});
type Rope = z.output<typeof ropeSchema>;
type RopeScaling = NonNullable<LlamaModel['ropeScaling']>;

/** Fields of each type, with their names in `model.ropeScaling`. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  default: {},
  linear: { factor: 'factor' },
  llama3: {
    factor: 'factor',
    low_freq_factor: 'lowFreqFactor',
    high_freq_factor: 'highFreqFactor',
    original_max_position_embeddings: 'originalSeqLen',
  },
};

function typeOf(rope: Rope | null | undefined): string {
  return rope?.rope_type ?? rope?.type ?? 'default';
}

/** Names the type that is not supported, or the field that is missing; undefined if there is neither. */
export function unsupportedScaling(rope: Rope | null | undefined): string | undefined {
  const type = typeOf(rope);
  if (!Object.hasOwn(FIELDS, type))
    return `rope_scaling ${type} is not supported, only ${Object.keys(FIELDS).join(', ')}`;
  const missing = Object.keys(FIELDS[type]!).find((field) => rope?.[field] === undefined);
  return missing === undefined ? undefined : `rope_scaling ${type} has no ${missing}`;
}

/** Returns the value of `model.ropeScaling`, not yet validated; null for no scaling. */
export function ropeScalingOf(rope: Rope | null | undefined): object | null {
  const type = typeOf(rope);
  if (type === 'default') return null;
  const fields = Object.entries(FIELDS[type]!);
  return { type, ...Object.fromEntries(fields.map(([field, own]) => [own, rope![field]])) };
}

/** Returns `rope_scaling` for a value of `model.ropeScaling`: the inverse of `ropeScalingOf`. */
export function publishedScaling(scaling: RopeScaling | null): object | null {
  if (scaling === null) return null;
  const fields = Object.entries(FIELDS[scaling.type]!);
  return {
    rope_type: scaling.type,
    ...Object.fromEntries(fields.map(([field, own]) => [field, Reflect.get(scaling, own)])),
  };
}
