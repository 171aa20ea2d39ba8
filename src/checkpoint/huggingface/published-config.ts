import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { MAX_LAYERS } from '../../config/model-schema.js';
import { runNameOf } from '../../config/recipe.js';
import { resolveConfig } from '../../config/resolve.js';
import type { RunConfig } from '../../config/schema.js';
import { TrainerError } from '../../errors.js';
import { type Architecture, MODEL_TYPES } from './architectures.js';
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

const ARCHITECTURES = Object.keys(MODEL_TYPES) as Architecture[];

const count = z.number().int().positive();
/** Omitted fields have the defaults of transformers. */
const fieldsSchema = z.object({
  architectures: z.tuple([
    z.enum(ARCHITECTURES, {
      error: ({ input }) => `${input} is not supported, only ${ARCHITECTURES.join(', ')}`,
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
 * @throws TrainerError `BAD_INPUT` or `BAD_CONFIG` naming the field that is missing, wrong, or not part of family mixtral
 */
export function readPublishedConfig(folder: string): Published {
  const file = path.join(folder, CONFIG_FILE);
  const fields = parseFields(file);
  const problem = unsupported(fields);
  if (problem !== undefined) throw new TrainerError('BAD_INPUT', `${file}: ${problem}`);
  const [architecture] = fields.architectures;
  const numSparse = numSparseLayers(fields);
  const config = {
    name: runNameOf(path.basename(path.resolve(folder))).slice(0, 64),
    model: {
      family: 'mixtral',
      dModel: fields.hidden_size,
      numHeads: fields.num_attention_heads,
      headDim: headDimOf(fields),
      numKeyValueHeads: fields.num_key_value_heads ?? fields.num_attention_heads,
      numDenseLayers: fields.num_hidden_layers - numSparse,
      numSparseLayers: numSparse,
      dFeedForward: fields.intermediate_size,
      vocabSize: fields.vocab_size,
      seqLen: fields.max_position_embeddings,
      ropeTheta: ropeThetaOf(fields) ?? (architecture === 'MixtralForCausalLM' ? 1_000_000 : 10_000),
      ropeScaling: ropeScalingOf(scalingOf(fields)),
      attentionBias: hasBias(fields),
      qkNorm: architecture === 'Qwen3ForCausalLM' || architecture === 'Qwen3MoeForCausalLM',
      normEpsilon: fields.rms_norm_eps ?? (architecture === 'MixtralForCausalLM' ? 1e-5 : 1e-6),
      tiedEmbedding: fields.tie_word_embeddings,
    },
    moe: numSparse === 0 ? GROWN : moeOf(fields),
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

/** Names a field that models of family mixtral do not support; undefined if there is none. */
function unsupported(fields: Fields): string | undefined {
  const [architecture] = fields.architectures;
  // In every class but Mixtral, another field has to enable the window.
  const window = architecture === 'MixtralForCausalLM' ? (fields.sliding_window ?? null) : null;
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
  return isMixture(architecture) ? unsupportedMixture(fields) : undefined;
}

function unsupportedMixture(fields: Fields): string | undefined {
  const [architecture] = fields.architectures;
  const isMixtral = architecture === 'MixtralForCausalLM';
  const numChoices = fields.num_experts_per_tok;
  const needed = isMixtral
    ? (['num_local_experts', 'num_experts_per_tok'] as const)
    : (['num_experts', 'num_experts_per_tok', 'moe_intermediate_size'] as const);
  const missing = needed.find((field) => fields[field] === undefined);
  if (missing !== undefined) return `${missing} is missing`;
  if (isMixtral && numChoices === 1)
    return 'num_experts_per_tok 1 is not supported in Mixtral: locmoe weighs a single expert by its probability, not by 1';
  if (!isMixtral && fields.norm_topk_prob && numChoices === 1)
    return 'norm_topk_prob true is not supported with num_experts_per_tok 1: locmoe weighs a single expert by its probability, not by 1';
  const sparse = sparseLayersOf(fields);
  const numExperts = fields[needed[0]]!;
  if (numExperts * sparse.length > MAX_EXPERTS)
    return `${needed[0]} ${numExperts} in ${sparse.length} layers is not supported, only ${MAX_EXPERTS} experts together`;
  const first = sparse.indexOf(true);
  if (sparse.lastIndexOf(false) > first)
    return 'dense layers are supported only below all sparse layers (mlp_only_layers, decoder_sparse_step)';
  return undefined;
}

/** Tells whether biases are added to queries, keys and values. */
function hasBias({ architectures: [architecture], qkv_bias }: Fields): boolean {
  return architecture === 'Qwen2ForCausalLM' || (architecture === 'Qwen2MoeForCausalLM' && qkv_bias);
}

/** Returns the size of a head; null for hidden size / number of heads. Only Qwen3 has another default. */
function headDimOf({ architectures: [architecture], head_dim, hidden_size, num_attention_heads }: Fields) {
  const size = head_dim ?? (architecture === 'Qwen3ForCausalLM' ? 128 : null);
  return size === hidden_size / num_attention_heads ? null : size;
}

function isMixture(architecture: Architecture): boolean {
  return architecture === 'MixtralForCausalLM' || isQwenMixture(architecture);
}

function isQwenMixture(architecture: Architecture): boolean {
  return architecture === 'Qwen2MoeForCausalLM' || architecture === 'Qwen3MoeForCausalLM';
}

/** Tells for each layer whether it has experts. */
function sparseLayersOf(fields: Fields): boolean[] {
  const [architecture] = fields.architectures;
  const { mlp_only_layers: dense, decoder_sparse_step: step } = fields;
  return Array.from({ length: fields.num_hidden_layers }, (_, layer) =>
    isQwenMixture(architecture)
      ? !dense?.includes(layer) && (layer + 1) % step === 0
      : isMixture(architecture),
  );
}

function numSparseLayers(fields: Fields): number {
  return sparseLayersOf(fields).filter(Boolean).length;
}

function scalingOf(fields: Fields) {
  return fields.rope_scaling ?? fields.rope_parameters;
}

/** Returns rope_theta, which before transformers 5 is beside `rope_scaling`. */
function ropeThetaOf(fields: Fields): number | undefined {
  return fields.rope_parameters?.rope_theta ?? fields.rope_theta;
}

function moeOf(fields: Fields): object {
  const width = fields.moe_intermediate_size ?? fields.intermediate_size;
  const shared = fields.shared_expert_intermediate_size;
  const isMixtral = fields.architectures[0] === 'MixtralForCausalLM';
  // Shared units whose number is no multiple of an expert's width are left out; open-huggingface.ts checks
  // that their weights are 0.
  const hasShared = shared > 0 && shared % width === 0;
  return {
    numExperts: fields.num_local_experts ?? fields.num_experts,
    router: 'switch',
    expertsPerToken: fields.num_experts_per_tok,
    dFeedForward: width === fields.intermediate_size ? null : width,
    renormalize: fields.num_experts_per_tok === 1 || isMixtral || fields.norm_topk_prob,
    sharedExperts: hasShared ? shared / width : 0,
    sharedExpertGate: hasShared,
    capacityFactor: null,
  };
}
