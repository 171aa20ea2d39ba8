import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { LAYER_NORM_EPSILON } from 'locmoe/internal/ops/on-host';
import { type HuggingFaceModel, type LazyTensor, tensorOf, zeros } from './weights.js';

/** Whether a model is one that GPT-2 programs support: dense layers, and no query layer. */
export function isGpt2({ model }: RunConfig): boolean {
  return model.family === 'pangu-sigma' && model.numSparseLayers === 0 && !model.queryLayer;
}

/**
 * Converts a dense model to GPT2LMHeadModel of transformers. Its linear layers (Conv1D) multiply from the
 * right as ours do; they have biases, which are 0 here. The head is tied to the token embedding.
 */
export function gpt2Model(checkpoint: Checkpoint): HuggingFaceModel {
  const { model } = checkpoint.manifest.config;
  return {
    config: {
      model_type: 'gpt2',
      architectures: ['GPT2LMHeadModel'],
      vocab_size: model.vocabSize,
      n_positions: model.seqLen,
      n_embd: model.dModel,
      n_layer: model.numDenseLayers,
      n_head: model.numHeads,
      n_inner: model.dFeedForward,
      // GELU in the tanh approximation.
      activation_function: 'gelu_new',
      layer_norm_epsilon: LAYER_NORM_EPSILON,
      attn_pdrop: 0,
      embd_pdrop: 0,
      resid_pdrop: 0,
      tie_word_embeddings: true,
    },
    tensors: gpt2Tensors(checkpoint),
  };
}

function gpt2Tensors(checkpoint: Checkpoint): LazyTensor[] {
  const { dModel: d, dFeedForward: f, numDenseLayers, vocabSize, seqLen } = checkpoint.manifest.config.model;
  const tensor = (from: string, to: string, shape: readonly number[]) =>
    tensorOf(checkpoint, from, `transformer.${to}`, shape);
  const norm = (from: string, to: string) => [
    tensor(`${from}.gain`, `${to}.weight`, [d]),
    tensor(`${from}.bias`, `${to}.bias`, [d]),
  ];
  const linear = (from: string, to: string, shape: readonly [number, number]) => [
    tensor(from, `${to}.weight`, shape),
    zeros(`transformer.${to}.bias`, [shape[1]]),
  ];
  const layers = Array.from({ length: numDenseLayers }, (_, layer) => {
    const [from, to] = [`layers.${layer}`, `h.${layer}`];
    return [
      ...norm(`${from}.ln_attn`, `${to}.ln_1`),
      ...linear(`${from}.attn.qkv`, `${to}.attn.c_attn`, [d, 3 * d]),
      ...linear(`${from}.attn.out`, `${to}.attn.c_proj`, [d, d]),
      ...norm(`${from}.ln_ffn`, `${to}.ln_2`),
      ...linear(`${from}.ffn.w_in`, `${to}.mlp.c_fc`, [d, f]),
      ...linear(`${from}.ffn.w_out`, `${to}.mlp.c_proj`, [f, d]),
    ];
  });
  return [
    tensor('embed.tokens', 'wte.weight', [vocabSize, d]),
    tensor('embed.positions', 'wpe.weight', [seqLen, d]),
    ...layers.flat(),
    ...norm('ln_final', 'ln_f'),
  ];
}
