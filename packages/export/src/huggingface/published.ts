import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { ARCHITECTURES, type Architecture } from 'locmoe/internal/checkpoint/huggingface/architectures';
import {
  absentTensors,
  type Counterpart,
  counterparts,
  transpose,
} from 'locmoe/internal/checkpoint/huggingface/counterparts';
import { publishedScaling } from 'locmoe/internal/checkpoint/huggingface/rope-scaling';
import { llamaModel } from 'locmoe/internal/config/model-schema';
import { expertWidthOf, type RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { heldExperts } from 'locmoe/internal/routing/index';
import { withExpertTables } from '../expert-table.js';
import { tablesIn, withLinearGates } from './linear-gates.js';
import { refused } from './refused.js';
import { type HuggingFaceModel, type LazyTensor, zeros } from './weights.js';

/** Hidden units, all 0, of the shared expert that Qwen2Moe requires, if the model has none. */
const ABSENT_WIDTH = 1;

/**
 * Converts a model of family llama to a class of transformers that computes the same. A sub-model becomes a
 * model with only the experts that it has.
 *
 * @throws TrainerError `BAD_INPUT` naming the field that no class has
 */
export function publishedModel(given: Checkpoint): HuggingFaceModel {
  const checkpoint = publishable(given);
  const { config } = checkpoint.manifest;
  return { config: fieldsOf(config, architectureOf(config)), tensors: publishedTensors(checkpoint) };
}

/** Returns the error of `publishedModel`; null if a class computes the model. */
export function publishedRefusal(checkpoint: Checkpoint): TrainerError | null {
  try {
    publishedModel(checkpoint);
    return null;
  } catch (error) {
    if (error instanceof TrainerError) return error;
    throw error;
  }
}

/** Returns the tensors of a class for a checkpoint that is `publishable`, also for a config.json that the class refuses. */
export function publishedTensors(checkpoint: Checkpoint): LazyTensor[] {
  const { config } = checkpoint.manifest;
  const architecture = architectureOf(config);
  return [
    ...counterparts(config, architecture).map((each) => published(checkpoint, each)),
    ...absentTensors(config, architecture, ABSENT_WIDTH).map((each) => zeros(each.published, each.shape)),
  ];
}

/**
 * Returns the checkpoint with a router that the classes have: they choose the experts with the highest softmax probability
 * of a linear gate, and nothing else. That is `switch`; tables of token ids become gates.
 *
 * @throws TrainerError as `publishedModel`
 */
export function publishable(given: Checkpoint): Checkpoint {
  const { model, moe } = given.manifest.config;
  if (model.numSparseLayers === 0) return given;
  const checkpoint = withExpertTables(given);
  const hasTables = checkpoint !== given;
  if (!hasTables && moe.router !== 'switch')
    throw refused(
      `moe.router ${moe.router}`,
      'their router is that of switch, top-k of a softmax, or a table of token ids written as such',
    );
  if (moe.expertGroups > 1 && moe.subModel === null)
    throw refused(
      `moe.expertGroups ${moe.expertGroups}`,
      'they know no domains; export the part of one with --sub-model first',
    );
  if (!hasTables && moe.tokenPreference > 0)
    throw refused(
      `moe.tokenPreference ${moe.tokenPreference}`,
      'their router knows no preferences of token ids',
    );
  if (!hasTables) return given;
  const isFit = (table: Float32Array) =>
    table.every((expert, key) => expert >= 0 && expert === table[key % model.vocabSize]);
  if (!tablesIn(checkpoint).flat().every(isFit))
    throw refused(
      moe.router === 'hash' ? `moe.hashShare ${moe.hashShare}` : `moe.tableAfter ${moe.tableAfter}`,
      'their router has an expert for every token id, which is the same in all domains, and its tables do not',
    );
  const { headDim, qkNorm } = llamaModel(model);
  if (moe.lookBack > 0 && qkNorm)
    throw refused(
      `moe.lookBack ${moe.lookBack}`,
      'it takes biases of queries and keys, which no class has beside model.qkNorm; train with --set moe.lookBack=0',
    );
  const isQwen2Moe = moe.lookBack > 0 || architectureOf(checkpoint.manifest.config) === 'Qwen2MoeForCausalLM';
  return withLinearGates(checkpoint, isQwen2Moe && model.numHeads * headDim === model.dModel);
}

/** Returns the class for a configuration. @throws TrainerError `BAD_INPUT` naming what no class has with query and key norms */
export function architectureOf(config: RunConfig): Architecture {
  const { model, moe } = config;
  const { attentionBias, qkNorm } = llamaModel(model);
  const isSparse = model.numSparseLayers > 0;
  const found = (Object.keys(ARCHITECTURES) as Architecture[]).find((name) => {
    const { bias, mixture, ...others } = ARCHITECTURES[name];
    if (others.qkNorm !== qkNorm || (bias !== 'qkv_bias' && bias !== attentionBias)) return false;
    if (mixture === null || !isSparse) return mixture === null && !isSparse;
    const isPlain = model.numDenseLayers === 0 && isRenormalized(moe);
    return (mixture.isFlexible || isPlain) && (mixture.hasSharedExpert || moe.sharedExperts === 0);
  });
  if (found !== undefined) return found;
  throw attentionBias
    ? refused(
        `model.attentionBias ${attentionBias}`,
        'a class with model.qkNorm and biases has one at the output of attention too; train with one of both',
      )
    : refused(`moe.sharedExperts ${moe.sharedExperts}`, 'no class has them beside model.qkNorm');
}

function fieldsOf(config: RunConfig, architecture: Architecture): HuggingFaceModel['config'] {
  const { model, moe } = config;
  const { numKeyValueHeads, headDim, normEpsilon, ropeTheta, ropeScaling, tiedEmbedding, attentionBias } =
    llamaModel(model);
  const { type, bias, fixed, mixture } = ARCHITECTURES[architecture];
  if (architecture === 'Qwen2MoeForCausalLM' && model.numHeads * headDim !== model.dModel)
    throw refused(
      `model.headDim ${headDim}`,
      `${architecture} of transformers 4 has heads of dModel / numHeads; train with model.headDim null`,
    );
  return {
    model_type: type,
    architectures: [architecture],
    vocab_size: model.vocabSize,
    hidden_size: model.dModel,
    num_hidden_layers: model.numDenseLayers + model.numSparseLayers,
    num_attention_heads: model.numHeads,
    num_key_value_heads: numKeyValueHeads,
    head_dim: headDim,
    hidden_act: 'silu',
    max_position_embeddings: model.seqLen,
    rms_norm_eps: normEpsilon,
    rope_theta: ropeTheta,
    rope_scaling: publishedScaling(ropeScaling),
    tie_word_embeddings: tiedEmbedding,
    attention_dropout: 0,
    intermediate_size: model.dFeedForward,
    ...(mixture?.isFlexible && {
      mlp_only_layers: Array.from({ length: model.numDenseLayers }, (_, layer) => layer),
      decoder_sparse_step: 1,
    }),
    ...(mixture && {
      [mixture.numExpertsField]: heldExperts(moe).count,
      num_experts_per_tok: moe.expertsPerToken,
      ...(mixture.isFlexible && { norm_topk_prob: isRenormalized(moe) }),
      [mixture.widthField]: expertWidthOf(config),
    }),
    ...fixed,
    ...(mixture?.hasSharedExpert && { shared_expert_intermediate_size: sharedWidthOf(config) }),
    ...(bias === 'qkv_bias' && { qkv_bias: attentionBias }),
  };
}

/** Returns the number of hidden units of the shared expert that Qwen2Moe always has. */
export function sharedWidthOf(config: RunConfig): number {
  return config.moe.sharedExperts * expertWidthOf(config) || ABSENT_WIDTH;
}

/** Whether the weights of a token's experts add up to 1, as with tables; with `switch` that of a single expert is its probability. */
export function isRenormalized({ router, expertsPerToken, renormalize }: RunConfig['moe']): boolean {
  return router === 'hash' || (expertsPerToken > 1 && renormalize);
}

function published(checkpoint: Checkpoint, counterpart: Counterpart): LazyTensor {
  const { own, published: name, shape, isTransposed, factor } = counterpart;
  const whole = isTransposed ? shape.toReversed() : shape;
  // A sub-model has the gate of the whole model, of which only the rows of its experts are written, [E, d].
  const rows = own.endsWith('.router.weight') ? heldExperts(checkpoint.manifest.config.moe) : null;
  const written = rows === null ? whole : [rows.count, ...whole.slice(1)];
  return {
    name,
    shape: written,
    bytes: Float32Array.BYTES_PER_ELEMENT * written.reduce((product, length) => product * length, 1),
    read() {
      const values = checkpoint.read(own, shape);
      const turned = isTransposed ? transpose(values, shape as [number, number]) : values;
      const kept =
        rows === null
          ? turned
          : turned.subarray(rows.first * whole[1]!, (rows.first + rows.count) * whole[1]!);
      return factor === 1 ? kept : kept.map((value) => factor * value);
    },
  };
}
