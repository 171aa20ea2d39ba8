import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import type { Architecture } from 'locmoe/internal/checkpoint/huggingface/architectures';
import { llamaModel } from 'locmoe/internal/config/model-schema';
import { expertWidthOf, type RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { formatSize } from 'locmoe/internal/format';
import { rotaryFrequencies } from 'locmoe/internal/ops/rotary-frequencies';
import { heldExperts } from 'locmoe/internal/routing/index';
import {
  architectureOf,
  isRenormalized,
  publishable,
  publishedTensors,
  sharedWidthOf,
} from '../huggingface/published.js';
import type { ExportTarget, WeightType } from '../target.js';
import { type GgufTensor, type GgufType, type GgufValue, ggufValue, writeGguf } from './gguf-file.js';
import { ggufTensors } from './gguf-tensors.js';
import { blockLength, encodeAs } from './number-types.js';
import { tokenizerFields } from './tokenizer-fields.js';

/** Types of weights, with llama.cpp's number for a file of that type. */
const TYPES = {
  float32: { type: 'F32', fileType: 0 },
  float16: { type: 'F16', fileType: 1 },
  q8_0: { type: 'Q8_0', fileType: 7 },
  q4_k: { type: 'Q4_K', fileType: 15 },
} as const satisfies Partial<Record<WeightType, { readonly type: GgufType; readonly fileType: number }>>;
type Type = keyof typeof TYPES;

/** The version of ggml's quantized types. */
const QUANTIZATION_VERSION = 2;

/** Architectures of llama.cpp, whose `llama` includes Mixtral. */
const ARCHITECTURES: Readonly<Record<Architecture, string>> = {
  LlamaForCausalLM: 'llama',
  MixtralForCausalLM: 'llama',
  Qwen2ForCausalLM: 'qwen2',
  Qwen2MoeForCausalLM: 'qwen2moe',
  Qwen3ForCausalLM: 'qwen3',
  Qwen3MoeForCausalLM: 'qwen3moe',
};

/** Writes a file for llama.cpp. */
export const gguf: ExportTarget = {
  description: 'model.gguf for llama.cpp, of a model of family llama',
  types: Object.keys(TYPES) as Type[],
  async write(given, output, dtype) {
    const { family } = given.manifest.config.model;
    if (family !== 'llama')
      throw refused(`model.family ${family}`, 'llama.cpp has no architecture that computes it');
    const checkpoint = publishable(given);
    const { manifest, tokenizerFile } = checkpoint;
    const { config } = manifest;
    const tensors = tensorsOf(checkpoint, dtype as Type);
    const metadata = {
      ...modelFields(config, ggufArchitecture(config), TYPES[dtype as Type].fileType),
      ...tokenizerFields(tokenizerFile, config),
    };
    await output.writeWith('model.gguf', (file) =>
      writeGguf(file, new Map(Object.entries(metadata)), tensors),
    );
  },
  lines(checkpoint, dtype) {
    const sizes = new Map<GgufType, number>();
    for (const { type, bytes } of tensorsOf(publishable(checkpoint), dtype as Type))
      sizes.set(type, (sizes.get(type) ?? 0) + bytes);
    return [`weights: ${Array.from(sizes, ([type, bytes]) => `${formatSize(bytes)} of ${type}`).join(', ')}`];
  },
};

/** @throws TrainerError `BAD_INPUT` if no matrix can be of the type */
function tensorsOf(checkpoint: Checkpoint, dtype: Type): GgufTensor[] {
  const { model } = checkpoint.manifest.config;
  const { headDim, tiedEmbedding } = llamaModel(model);
  const { type } = TYPES[dtype];
  const architecture = ggufArchitecture(checkpoint.manifest.config);
  const published = publishedTensors(checkpoint).flatMap((tensor) => {
    if (architecture !== 'qwen2moe') return tensor.name.includes('.shared_expert') ? [] : [tensor];
    // Unlike the others, this architecture does not fall back to the embedding if there is no head.
    const isHead = tiedEmbedding && tensor.name === 'model.embed_tokens.weight';
    return isHead ? [tensor, { ...tensor, name: 'lm_head.weight' }] : [tensor];
  });
  const tensors = ggufTensors(published, type, architecture.startsWith('qwen') ? null : headDim);
  if (!tensors.some((tensor) => tensor.type === type))
    throw new TrainerError(
      'BAD_INPUT',
      `--dtype ${dtype}: no matrix that may be ${type} has rows of a multiple of ${blockLength(type)} values (model.dModel ${model.dModel}); take a finer type`,
    );
  return [...tensors, ...frequencyDivisors(model)];
}

/**
 * Returns llama.cpp's name of the architecture. In `qwen2moe`, the weights of a token's experts are their
 * probabilities; all other mixtures there normalize them to a sum of 1. `llama` may have experts, biases, heads of
 * any size and scaled frequencies together, and experts in all layers or in none; `ernie4_5-moe` is the same with dense layers
 * at the bottom, but for the frequencies.
 */
function ggufArchitecture(config: RunConfig): string {
  const { model, moe } = config;
  const { headDim, ropeScaling } = llamaModel(model);
  const hasOtherHeads = model.numHeads * headDim !== model.dModel;
  const isLlama3 = ropeScaling?.type === 'llama3';
  const ofModel = architectureOf(config);
  const isLlama =
    ofModel === 'Qwen2MoeForCausalLM'
      ? isRenormalized(moe)
      : ofModel === 'Qwen2ForCausalLM' && (hasOtherHeads || isLlama3);
  const isPartlyDense = model.numSparseLayers > 0 && model.numDenseLayers > 0;
  if (isPartlyDense && !isLlama)
    throw refused(
      `model.numDenseLayers ${model.numDenseLayers}`,
      'where their weights do not add up to 1, or with model.qkNorm, llama.cpp has experts in all layers or in none',
    );
  const ofLlama = isPartlyDense ? 'ernie4_5-moe' : 'llama';
  const architecture = isLlama ? ofLlama : ARCHITECTURES[ofModel];
  if (isLlama && moe.sharedExperts > 0)
    throw refused(
      `moe.sharedExperts ${moe.sharedExperts}`,
      'a mixture of llama.cpp with normalised weights has no shared experts (moe.renormalize)',
    );
  if (architecture === 'qwen2moe' && hasOtherHeads)
    throw refused(
      `model.headDim ${headDim}`,
      `architecture qwen2moe has heads of dModel / numHeads; train with model.headDim null`,
    );
  if (ofModel === 'Qwen3MoeForCausalLM' && !isRenormalized(moe))
    throw refused(
      moe.renormalize ? 'moe.expertsPerToken 1' : 'moe.renormalize false',
      `architecture ${architecture} lets the weights of a token's experts add up to 1`,
    );
  if (architecture !== 'llama' && isLlama3)
    throw refused('model.ropeScaling llama3', `architecture ${architecture} does not know it`);
  return architecture;
}

function refused(field: string, why: string): TrainerError {
  return new TrainerError('BAD_INPUT', `${field} cannot be exported to GGUF: ${why}`);
}

/** Returns the tensor by which llama.cpp divides the frequency of each pair, if the divisor differs between pairs. */
function frequencyDivisors(model: RunConfig['model']): GgufTensor[] {
  const { headDim, ropeTheta, ropeScaling } = llamaModel(model);
  if (ropeScaling?.type !== 'llama3') return [];
  const scaled = rotaryFrequencies(headDim, ropeTheta, ropeScaling);
  const divisors = Float32Array.from(rotaryFrequencies(headDim, ropeTheta), (each, i) => each / scaled[i]!);
  const bytes = encodeAs('F32', divisors);
  return [
    {
      name: 'rope_freqs.weight',
      shape: [divisors.length],
      type: 'F32',
      bytes: bytes.length,
      pieces: () => [bytes],
    },
  ];
}

function modelFields(
  config: RunConfig,
  architecture: string,
  fileType: number,
): Readonly<Record<string, GgufValue>> {
  const { model, moe } = config;
  const { numKeyValueHeads, headDim, normEpsilon, ropeTheta, ropeScaling } = llamaModel(model);
  const { string, uint32, float32 } = ggufValue;
  const isSparse = model.numSparseLayers > 0;
  const hasOnlyExperts = model.numDenseLayers === 0;
  const fields = {
    vocab_size: uint32(model.vocabSize),
    context_length: uint32(model.seqLen),
    embedding_length: uint32(model.dModel),
    block_count: uint32(model.numDenseLayers + model.numSparseLayers),
    feed_forward_length: uint32(hasOnlyExperts ? expertWidthOf(config) : model.dFeedForward),
    'attention.head_count': uint32(model.numHeads),
    'attention.head_count_kv': uint32(numKeyValueHeads),
    'attention.layer_norm_rms_epsilon': float32(normEpsilon),
    'attention.key_length': uint32(headDim),
    'attention.value_length': uint32(headDim),
    'rope.dimension_count': uint32(headDim),
    'rope.freq_base': float32(ropeTheta),
    ...(ropeScaling?.type === 'linear' && {
      'rope.scaling.type': string('linear'),
      'rope.scaling.factor': float32(ropeScaling.factor),
    }),
    ...(isSparse && {
      expert_count: uint32(heldExperts(moe).count),
      expert_used_count: uint32(moe.expertsPerToken),
      expert_feed_forward_length: uint32(expertWidthOf(config)),
      ...(architecture === 'ernie4_5-moe' && {
        leading_dense_block_count: uint32(model.numDenseLayers),
        interleave_moe_layer_step: uint32(1),
      }),
      ...(architecture === 'qwen2moe' && {
        expert_shared_feed_forward_length: uint32(sharedWidthOf(config)),
      }),
    }),
  };
  return {
    'general.architecture': string(architecture),
    'general.type': string('model'),
    'general.name': string(config.name),
    'general.file_type': uint32(fileType),
    'general.quantization_version': uint32(QUANTIZATION_VERSION),
    ...Object.fromEntries(
      Object.entries(fields).map(([field, value]) => [`${architecture}.${field}`, value]),
    ),
  };
}
