import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { MAX_COUNT } from '../numeric-bounds.js';
import { count, positive, real } from '../routing/numeric-fields.js';
import { didYouMean } from './nearest.js';

/** Names of the matrices of a feed-forward network by family; the last one is the output projection. */
export const FEED_FORWARD_MATRICES = {
  'pangu-sigma': ['w_in', 'w_out'],
  llama: ['w_gate', 'w_in', 'w_out'],
} as const;

const scaling = {
  factor: real.min(1).describe('frequencies are divided by it'),
};
const ropeScaling = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('linear'), ...scaling }),
    z.strictObject({
      type: z.literal('llama3'),
      ...scaling,
      lowFreqFactor: real
        .positive()
        .describe('turns in originalSeqLen tokens up to which a frequency is divided'),
      highFreqFactor: real.positive().describe('turns from which it stays'),
      originalSeqLen: positive.describe('tokens of a sequence before scaling'),
    }),
  ],
  'must have the type linear or llama3',
);

/** Limit on layers: every layer's parameters are listed before a run, which would take seconds for more layers. */
export const MAX_LAYERS = 10_000;

const commonFields = {
  dModel: positive.describe('hidden size d'),
  numHeads: positive.describe('attention heads; divides dModel, unless headDim is given'),
  numDenseLayers: count
    .max(MAX_LAYERS)
    .describe('dense Transformer layers at the bottom, shared by all domains'),
  numSparseLayers: count.max(MAX_LAYERS).describe('layers whose feed-forward is a mixture of experts'),
  dFeedForward: positive.describe('hidden size of feed-forward networks; of experts see moe.dFeedForward'),
  vocabSize: z
    .number()
    .int()
    .min(257)
    .max(MAX_COUNT)
    .describe('256 bytes, merges and one special token; left out or `auto` where data.tokenizer is a file'),
  seqLen: positive.describe('tokens of a sequence'),
};

/** Families of models, by the value of `model.family` (docs/models.md). */
export const FAMILIES = {
  'pangu-sigma': z.strictObject({
    family: z
      .literal('pangu-sigma')
      .describe("layer norm, learned positions, GELU, PanGu's query layer, tied embedding"),
    ...commonFields,
    queryLayer: z.boolean().default(true).describe("PanGu's query layer on top"),
  }),
  llama: z.strictObject({
    family: z
      .literal('llama')
      .describe('RMS norm, rotary positions, SwiGLU, as Llama, Mixtral and the Qwen models'),
    ...commonFields,
    numKeyValueHeads: positive
      .nullable()
      .default(null)
      .describe(
        'heads of keys and values, each shared by as many of the queries; null: numHeads, none is shared',
      ),
    headDim: positive.nullable().default(null).describe('coordinates of a head; null: dModel / numHeads'),
    ropeTheta: real.positive().default(10_000).describe('base of the wavelengths of rotary positions'),
    ropeScaling: ropeScaling
      .nullable()
      .default(null)
      .describe(
        'scaling of rotary positions to longer texts, as rope_scaling of transformers. linear: all frequencies are divided ' +
          'by factor; llama3: those with at most lowFreqFactor turns in originalSeqLen tokens, and those from highFreqFactor on are kept; ' +
          'null: none',
      ),
    attentionBias: z
      .boolean()
      .default(false)
      .describe('a bias is added to queries, keys and values, as in Qwen2'),
    qkNorm: z
      .boolean()
      .default(false)
      .describe('RMS norm of each head of queries and keys before rotation, as in Qwen3'),
    normEpsilon: real.positive().default(1e-5).describe('added to the mean of squares in a norm'),
    tiedEmbedding: z
      .boolean()
      .default(false)
      .describe('logits are computed by the embedding of the tokens; false: by a matrix of their own'),
  }),
};
type FamilyName = keyof typeof FAMILIES;

/** A model as its section is written; `modelSchema` also reads the form of old checkpoints. */
export const modelUnion = z.discriminatedUnion('family', [FAMILIES['pangu-sigma'], FAMILIES.llama], {
  error: ({ code, input }) => (code === 'invalid_union' ? unknownFamily(input) : undefined),
});

export const modelSchema = z.preprocess(
  inCurrentForm,
  modelUnion.transform((model) =>
    model.family === 'llama'
      ? {
          ...model,
          numKeyValueHeads: model.numKeyValueHeads ?? model.numHeads,
          headDim: model.headDim ?? model.dModel / model.numHeads,
        }
      : model,
  ),
);

function unknownFamily(section: unknown): string {
  const names = Object.keys(FAMILIES);
  const { family } = section as { readonly family: unknown };
  return `must be one of ${names.join(', ')}${didYouMean(String(family), names)}`;
}

/**
 * Returns the section with its family. Up to version 0.1 the family `llama` was named `mixtral`, and every model had the fields
 * of both, null or false where they were of the other.
 */
export function inCurrentForm(section: unknown): unknown {
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return section;
  const { family: named = 'pangu-sigma', ...fields } = section as Record<string, unknown>;
  const family = named === 'mixtral' ? 'llama' : named;
  const other = family === 'llama' ? 'pangu-sigma' : 'llama';
  const isUnset = ([name, value]: [string, unknown]) =>
    (value === null && (named === 'mixtral' || isOfFamily(other, name))) ||
    (family === 'llama' && name === 'queryLayer' && value === false);
  return { family, ...Object.fromEntries(Object.entries(fields).filter((field) => !isUnset(field))) };
}

/** Tells whether a field is of this family. */
export function isOfFamily(family: FamilyName, field: string): boolean {
  return Object.hasOwn(FAMILIES[family].shape, field);
}

export type ModelConfig = Readonly<z.output<typeof modelSchema>>;
export type LlamaModel = Extract<ModelConfig, { readonly family: 'llama' }>;

/** @throws TrainerError `INTERNAL` for a model of another family, which callers have refused */
export function llamaModel(model: ModelConfig): LlamaModel {
  if (model.family !== 'llama') throw new TrainerError('INTERNAL', `a model of family ${model.family}`);
  return model;
}

export function hasQueryLayer(model: ModelConfig): boolean {
  return model.family === 'pangu-sigma' && model.queryLayer;
}

/** Returns the numbers of query heads and of key-value heads, and the size of a head. */
export function headsOf(model: ModelConfig) {
  const { numHeads, dModel } = model;
  return model.family === 'llama'
    ? { numHeads, numKeyValueHeads: model.numKeyValueHeads, headDim: model.headDim }
    : { numHeads, numKeyValueHeads: numHeads, headDim: dModel / numHeads };
}
