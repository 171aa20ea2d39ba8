import { z } from 'zod';
import { MAX_COUNT } from '../numeric-bounds.js';
import { count, positive, real } from '../routing/numeric-fields.js';

/** Names of the matrices of a feed-forward network by family; the last one is the output projection. */
export const FEED_FORWARD_MATRICES = {
  'pangu-sigma': ['w_in', 'w_out'],
  mixtral: ['w_gate', 'w_in', 'w_out'],
} as const;
const FAMILIES = Object.keys(FEED_FORWARD_MATRICES) as (keyof typeof FEED_FORWARD_MATRICES)[];

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

export const modelSchema = z.strictObject({
  family: z
    .enum(FAMILIES)
    .default('pangu-sigma')
    .describe(
      "pangu-sigma: layer norm, learned positions, GELU, PanGu's query layer, tied embedding; mixtral: RMS norm, rotary " +
        'positions, SwiGLU, as Mixtral and the Qwen mixtures of experts',
    ),
  dModel: positive.describe('hidden size d'),
  numHeads: positive.describe('attention heads; divides dModel, unless headDim is given'),
  numDenseLayers: count
    .max(MAX_LAYERS)
    .describe('dense Transformer layers at the bottom, shared by all domains'),
  numSparseLayers: count.max(MAX_LAYERS).describe('layers whose feed-forward is a mixture of experts'),
  queryLayer: z.boolean().default(true).describe("PanGu's query layer on top; family pangu-sigma alone"),
  dFeedForward: positive.describe('hidden size of feed-forward networks; of experts see moe.dFeedForward'),
  vocabSize: z
    .number()
    .int()
    .min(257)
    .max(MAX_COUNT)
    .describe('256 bytes, merges and one special token; left out or `auto` where data.tokenizer is a file'),
  seqLen: positive.describe('tokens of a sequence'),
  numKeyValueHeads: positive
    .nullable()
    .default(null)
    .describe(
      'family mixtral: heads of keys and values, each shared by as many of the queries; null: numHeads, none is shared',
    ),
  headDim: positive
    .nullable()
    .default(null)
    .describe('family mixtral: coordinates of a head; null: dModel / numHeads'),
  ropeTheta: real
    .positive()
    .nullable()
    .default(null)
    .describe('family mixtral: base of the wavelengths of rotary positions; null: 10,000'),
  ropeScaling: ropeScaling
    .nullable()
    .default(null)
    .describe(
      'family mixtral: scaling of rotary positions to longer texts, as rope_scaling of transformers. linear: all frequencies are divided ' +
        'by factor; llama3: those with at most lowFreqFactor turns in originalSeqLen tokens, and those from highFreqFactor on are kept; ' +
        'null: none',
    ),
  attentionBias: z
    .boolean()
    .nullable()
    .default(null)
    .describe('family mixtral: a bias is added to queries, keys and values, as in Qwen2; null: none'),
  qkNorm: z
    .boolean()
    .nullable()
    .default(null)
    .describe(
      'family mixtral: RMS norm of each head of queries and keys before rotation, as in Qwen3; null: none',
    ),
  normEpsilon: real
    .positive()
    .nullable()
    .default(null)
    .describe('family mixtral: added to the mean of squares in a norm; null: 1e-5'),
  tiedEmbedding: z
    .boolean()
    .nullable()
    .default(null)
    .describe(
      'family mixtral: logits are computed by the embedding of the tokens; null: by a matrix of their own',
    ),
});

type ModelFields = Readonly<z.output<typeof modelSchema>>;

/** The fields that only family mixtral has. */
export const OF_MIXTRAL = [
  'numKeyValueHeads',
  'headDim',
  'ropeTheta',
  'ropeScaling',
  'attentionBias',
  'qkNorm',
  'normEpsilon',
  'tiedEmbedding',
] as const;

/** Returns the fields of family mixtral, with the values that null stands for. */
export function mixtralFields(model: Pick<ModelFields, 'dModel' | 'numHeads' | (typeof OF_MIXTRAL)[number]>) {
  return {
    numKeyValueHeads: model.numKeyValueHeads ?? model.numHeads,
    headDim: model.headDim ?? model.dModel / model.numHeads,
    ropeTheta: model.ropeTheta ?? 10_000,
    ropeScaling: model.ropeScaling,
    attentionBias: model.attentionBias ?? false,
    qkNorm: model.qkNorm ?? false,
    normEpsilon: model.normEpsilon ?? 1e-5,
    tiedEmbedding: model.tiedEmbedding ?? false,
  };
}
