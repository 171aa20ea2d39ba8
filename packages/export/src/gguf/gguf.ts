import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { mixtralFields } from 'locmoe/internal/config/model-schema';
import { expertWidthOf, type RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { rotaryFrequencies } from 'locmoe/internal/ops/rotary-frequencies';
import { heldExperts } from 'locmoe/internal/routing/index';
import { publishedModel } from '../huggingface/published.js';
import type { ExportTarget, WeightType } from '../target.js';
import { type GgufTensor, type GgufType, type GgufValue, ggufValue, writeGguf } from './gguf-file.js';
import { ggufTensors } from './gguf-tensors.js';
import { encodeAs } from './number-types.js';
import { tokenizerFields } from './tokenizer-fields.js';

/** Types of weights, with the number by which llama.cpp names a file of them. */
const TYPES = {
  float32: { type: 'F32', fileType: 0 },
  float16: { type: 'F16', fileType: 1 },
  q8_0: { type: 'Q8_0', fileType: 7 },
} as const satisfies Partial<Record<WeightType, { readonly type: GgufType; readonly fileType: number }>>;
type Type = keyof typeof TYPES;

/** The version of ggml's quantized types. */
const QUANTIZATION_VERSION = 2;

/** A file for llama.cpp, whose architecture `llama` is that of Llama and of Mixtral. */
export const gguf: ExportTarget = {
  description: 'model.gguf for llama.cpp, of a model of family mixtral',
  types: Object.keys(TYPES) as Type[],
  takesMixtral: true,
  async write(checkpoint, output, dtype) {
    assertLlama(checkpoint);
    const { manifest, tokenizerFile } = checkpoint;
    const { config } = manifest;
    const { tensors } = publishedModel(checkpoint);
    const { type, fileType } = TYPES[dtype as Type];
    const headSize = config.model.dModel / config.model.numHeads;
    const metadata = { ...modelFields(config, fileType), ...tokenizerFields(tokenizerFile, config) };
    await output.writeWith('model.gguf', (file) =>
      writeGguf(file, new Map(Object.entries(metadata)), [
        ...ggufTensors(tensors, type, headSize),
        ...frequencyDivisors(config.model, headSize),
      ]),
    );
  },
};

/** The architecture has either experts in all layers or in none, and their weights add up to 1, also that of one. */
function assertLlama({ manifest }: Checkpoint): void {
  const { model, moe } = manifest.config;
  if (model.family !== 'mixtral')
    throw refused(`model.family ${model.family}`, 'llama.cpp has no architecture that computes it');
  if (model.numSparseLayers === 0) return;
  if (model.numDenseLayers > 0)
    throw refused(`model.numDenseLayers ${model.numDenseLayers}`, 'there all layers have experts, or none');
  if (moe.sharedExperts > 0)
    throw refused(`moe.sharedExperts ${moe.sharedExperts}`, 'there every expert is chosen by the router');
  if (moe.expertsPerToken === 1 && moe.router === 'switch')
    throw refused('moe.expertsPerToken 1', 'there the weight of a single expert is 1, not its probability');
}

function refused(field: string, why: string): TrainerError {
  return new TrainerError('BAD_INPUT', `${field} cannot be exported to GGUF: ${why}`);
}

/** What llama.cpp divides the frequency of each pair by, where that is not the same for all. */
function frequencyDivisors(model: RunConfig['model'], headSize: number): GgufTensor[] {
  const { ropeTheta, ropeScaling } = mixtralFields(model);
  if (ropeScaling?.type !== 'llama3') return [];
  const scaled = rotaryFrequencies(headSize, ropeTheta, ropeScaling);
  const divisors = Float32Array.from(rotaryFrequencies(headSize, ropeTheta), (each, i) => each / scaled[i]!);
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

function modelFields(config: RunConfig, fileType: number): Readonly<Record<string, GgufValue>> {
  const { model, moe } = config;
  const { numKeyValueHeads, normEpsilon, ropeTheta, ropeScaling } = mixtralFields(model);
  const { string, uint32, float32 } = ggufValue;
  const isSparse = model.numSparseLayers > 0;
  return {
    'general.architecture': string('llama'),
    'general.type': string('model'),
    'general.name': string(config.name),
    'general.file_type': uint32(fileType),
    'general.quantization_version': uint32(QUANTIZATION_VERSION),
    'llama.vocab_size': uint32(model.vocabSize),
    'llama.context_length': uint32(model.seqLen),
    'llama.embedding_length': uint32(model.dModel),
    'llama.block_count': uint32(model.numDenseLayers + model.numSparseLayers),
    'llama.feed_forward_length': uint32(isSparse ? expertWidthOf(config) : model.dFeedForward),
    'llama.attention.head_count': uint32(model.numHeads),
    'llama.attention.head_count_kv': uint32(numKeyValueHeads),
    'llama.attention.layer_norm_rms_epsilon': float32(normEpsilon),
    'llama.rope.dimension_count': uint32(model.dModel / model.numHeads),
    'llama.rope.freq_base': float32(ropeTheta),
    ...(ropeScaling?.type === 'linear' && {
      'llama.rope.scaling.type': string('linear'),
      'llama.rope.scaling.factor': float32(ropeScaling.factor),
    }),
    ...(isSparse && {
      'llama.expert_count': uint32(heldExperts(moe).count),
      'llama.expert_used_count': uint32(moe.expertsPerToken),
    }),
  };
}
