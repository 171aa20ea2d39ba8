import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { MAX_LAYERS } from '../../config/model-schema.js';
import { runNameOf } from '../../config/recipe.js';
import { resolveConfig } from '../../config/resolve.js';
import type { RunConfig } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import { ARCHITECTURES, type Architecture, type Mixture } from './architectures.js';
import { ropeScalingOf, ropeSchema, unsupportedScaling } from './rope-scaling.js';

export const CONFIG_FILE = 'config.json';

/** Limit on the experts of all layers together, since the tensors of each are listed; published models have fewer. */
const MAX_EXPERTS = 100_000;
/** Limit on the size of a config.json; known ones have a few kB. */
export const MAX_CONFIG_BYTES = 2 ** 20;

/** A model as config.json describes it. */
export interface Published {
  readonly architecture: Architecture;
  /** Includes placeholder settings of data and training, which are to be replaced. */
  readonly config: RunConfig;
  /** Hidden units of the shared expert, which may exist without being used; 0 for none. */
  readonly sharedWidth: number;
}

const NAMES = Object.keys(ARCHITECTURES) as Architecture[];

const count = z.number().int().positive();
/** Omitted fields have the defaults of transformers. */
const fieldsSchema = z.object({
  architectures: z.tuple([
    z.enum(NAMES, {
      error: ({ input }) => `${input} is not supported, only ${NAMES.join(', ')}`,
    }),
  ]),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count.max(MAX_LAYERS),
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  max_position_embeddings: count,
  rms_norm_eps: z.number().positive().optional(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  partial_rotary_factor: z.number().default(1),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.string().default('silu'),
  qkv_bias: z.boolean().default(true),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  quantization_config: z.unknown().optional(),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().default(false),
  layer_types: z.array(z.string()).nullish(),
  num_experts_per_tok: count.optional(),
  num_local_experts: count.optional(),
  num_experts: count.optional(),
  norm_topk_prob: z.boolean().default(false),
  moe_intermediate_size: count.optional(),
  shared_expert_intermediate_size: z.number().int().min(0).default(0),
  mlp_only_layers: z.array(z.number().int()).nullish(),
  decoder_sparse_step: count.default(1),
});
type Fields = z.output<typeof fieldsSchema>;

/** Training settings for fine-tuning, gentle enough to keep what the weights have learned. */
const TRAIN = {
  steps: 1000,
  globalBatch: 16,
  learningRate: 3e-5,
  endLearningRate: 3e-6,
  warmupSteps: 50,
};
/** Settings for a mixture grown from a dense model. Its weights add up to 1, so it computes the same at first. */
const GROWN = { numExperts: 8, router: 'switch', expertsPerToken: 2, capacityFactor: null };

/**
 * Reads config.json as a configuration with the same model.
 *
 * @throws TrainerError `BAD_INPUT` or `BAD_CONFIG` naming the field that is missing, wrong, or not part of family llama
 */
export function readPublishedConfig(folder: string): Published {
  const file = path.join(folder, CONFIG_FILE);
  const fields = parseFields(file);
  const problem = unsupported(fields);
  if (problem !== undefined) throw new TrainerError('BAD_INPUT', `${file}: ${problem}`);
  const [architecture] = fields.architectures;
  const { bias, qkNorm, ropeTheta, normEpsilon, mixture } = ARCHITECTURES[architecture];
  const numSparse = sparseLayersOf(fields).filter(Boolean).length;
  const config = {
    name: runNameOf(path.basename(path.resolve(folder))).slice(0, 64),
    model: {
      family: 'llama',
      dModel: fields.hidden_size,
      numHeads: fields.num_attention_heads,
      headDim: headDimOf(fields),
      numKeyValueHeads: fields.num_key_value_heads ?? fields.num_attention_heads,
      numDenseLayers: fields.num_hidden_layers - numSparse,
      numSparseLayers: numSparse,
      dFeedForward: fields.intermediate_size,
      vocabSize: fields.vocab_size,
      seqLen: fields.max_position_embeddings,
      // Before transformers 5, rope_theta is beside `rope_scaling`.
      ropeTheta: fields.rope_parameters?.rope_theta ?? fields.rope_theta ?? ropeTheta,
      ropeScaling: ropeScalingOf(scalingOf(fields)),
      attentionBias: bias === 'qkv_bias' ? fields.qkv_bias : bias,
      qkNorm,
      normEpsilon: fields.rms_norm_eps ?? normEpsilon,
      tiedEmbedding: fields.tie_word_embeddings,
    },
    moe: mixture === null || numSparse === 0 ? GROWN : moeOf(fields, mixture),
    data: { domains: ['en'], tokenizer: 'tokenizer.json' },
    train: TRAIN,
  };
  return {
    architecture,
    config: resolveConfig(JSON.stringify(config), file),
    sharedWidth: fields.shared_expert_intermediate_size,
  };
}

function parseFields(file: string): Fields {
  let written: unknown;
  try {
    written = JSON.parse(readRegularFile(file, MAX_CONFIG_BYTES).toString('utf8'));
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `${file} cannot be read: ${(error as Error).message}`);
  }
  const parsed = fieldsSchema.safeParse(written);
  if (parsed.success) return parsed.data;
  const { path: field, message } = parsed.error.issues[0]!;
  throw new TrainerError('BAD_INPUT', `${file}: ${field.join('.') || 'configuration'}: ${message}`);
}

/** Names a field that models of family llama do not support; undefined if there is none. */
function unsupported(fields: Fields): string | undefined {
  const { mixture, fixed } = ARCHITECTURES[fields.architectures[0]];
  // In the other classes, another field has to enable the window.
  const window = 'sliding_window' in fixed ? (fields.sliding_window ?? null) : null;
  if (fields.quantization_config != null)
    return 'quantization_config: weights must be of type F32, F16 or BF16';
  if (fields.hidden_act !== 'silu') return `hidden_act ${fields.hidden_act} is not supported, only silu`;
  for (const bias of ['attention_bias', 'mlp_bias'] as const)
    if (fields[bias]) return `${bias} true is not supported: only queries, keys and values may have biases`;
  const scaling = unsupportedScaling(scalingOf(fields));
  if (scaling !== undefined) return scaling;
  if (fields.partial_rotary_factor !== 1)
    return `partial_rotary_factor ${fields.partial_rotary_factor} is not supported, only 1`;
  if (fields.use_sliding_window) return 'use_sliding_window true is not supported';
  if (window !== null && window < fields.max_position_embeddings)
    return `sliding_window ${window} is not supported, only none`;
  const layer = fields.layer_types?.find((type) => type !== 'full_attention');
  if (layer !== undefined) return `layer_types ${layer} is not supported, only full_attention`;
  return mixture === null ? undefined : unsupportedMixture(fields, mixture);
}

function unsupportedMixture(fields: Fields, mixture: Mixture): string | undefined {
  const { numExpertsField, widthField, isFlexible } = mixture;
  const needed = [numExpertsField, 'num_experts_per_tok', widthField] as const;
  const missing = needed.find((field) => fields[field] === undefined);
  if (missing !== undefined) return `${missing} is missing`;
  if (fields.num_experts_per_tok === 1 && (!isFlexible || fields.norm_topk_prob)) {
    const problem = isFlexible
      ? 'norm_topk_prob true is not supported with num_experts_per_tok 1'
      : 'num_experts_per_tok 1 is not supported in Mixtral';
    return `${problem}: locmoe weighs a single expert by its probability, not by 1`;
  }
  const sparse = sparseLayersOf(fields);
  const numExperts = fields[numExpertsField]!;
  if (numExperts * sparse.length > MAX_EXPERTS)
    return `${numExpertsField} ${numExperts} in ${sparse.length} layers is not supported, only ${MAX_EXPERTS} experts together`;
  return sparse.lastIndexOf(false) > sparse.indexOf(true)
    ? 'dense layers are supported only below all sparse layers (mlp_only_layers, decoder_sparse_step)'
    : undefined;
}

/** Returns the size of a head; null for hidden size / number of heads. */
function headDimOf(fields: Fields): number | null {
  const size = fields.head_dim ?? ARCHITECTURES[fields.architectures[0]].headDim;
  return size === fields.hidden_size / fields.num_attention_heads ? null : size;
}

/** Tells for each layer whether it has experts. */
function sparseLayersOf(fields: Fields): boolean[] {
  const { mixture } = ARCHITECTURES[fields.architectures[0]];
  const { mlp_only_layers: dense, decoder_sparse_step: step } = fields;
  return Array.from({ length: fields.num_hidden_layers }, (_, layer) =>
    mixture?.isFlexible ? !dense?.includes(layer) && (layer + 1) % step === 0 : mixture !== null,
  );
}

function scalingOf(fields: Fields) {
  return fields.rope_scaling ?? fields.rope_parameters;
}

function moeOf(fields: Fields, mixture: Mixture): object {
  const width = fields[mixture.widthField]!;
  const shared = fields.shared_expert_intermediate_size;
  // Shared units whose number is no multiple of an expert's width are left out; open-huggingface.ts checks
  // that their weights are 0.
  const hasShared = shared > 0 && shared % width === 0;
  return {
    numExperts: fields[mixture.numExpertsField],
    router: 'switch',
    expertsPerToken: fields.num_experts_per_tok,
    dFeedForward: width === fields.intermediate_size ? null : width,
    renormalize: fields.num_experts_per_tok === 1 || !mixture.isFlexible || fields.norm_topk_prob,
    sharedExperts: hasShared ? shared / width : 0,
    sharedExpertGate: hasShared,
    capacityFactor: null,
  };
}
