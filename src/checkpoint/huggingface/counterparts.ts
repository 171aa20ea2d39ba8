import { llamaModel } from '../../config/model-schema.js';
import { expertWidthOf, type RunConfig } from '../../config/schema.js';
import { heldExperts } from '../../routing/index.js';
import { ARCHITECTURES, type Architecture, MLP } from './architectures.js';

/** A parameter of a model of family llama, and the tensor of a HuggingFace folder that holds it. */
export interface Counterpart {
  readonly own: string;
  /** Shape of the parameter; a matrix is [inputs, outputs]. */
  readonly shape: readonly number[];
  readonly published: string;
  /** True for the matrix of a linear layer, which is published as [outputs, inputs]. */
  readonly isTransposed: boolean;
  /** Power of two by which the parameter is multiplied in the published tensor. */
  readonly factor: number;
}

/** A published tensor that models of family llama do not have; it has no effect if all its elements are 0. */
export type Absent = Pick<Counterpart, 'published' | 'shape'>;

type Sections = Pick<RunConfig, 'model' | 'moe'>;

/**
 * Factor of shared experts without a gate. Qwen2Moe always has a gate; with weights of 0 it is sigmoid(0) =
 * 1/2, so doubling the output gives the same result, to the bit.
 */
const HALF_OPEN_GATE = 2;

/** Returns the counterparts of all parameters but not of the router's state; experts are numbered as in the model. */
export function counterparts(config: Sections, architecture: Architecture): Counterpart[] {
  const { model } = config;
  const { dModel: d, vocabSize } = model;
  const { numKeyValueHeads, headDim, attentionBias, qkNorm, tiedEmbedding } = llamaModel(model);
  const [queries, keys] = [model.numHeads * headDim, numKeyValueHeads * headDim];
  const numLayers = model.numDenseLayers + model.numSparseLayers;
  const layers = Array.from({ length: numLayers }, (_, layer) => {
    const [from, to] = [`layers.${layer}`, `model.layers.${layer}`];
    return [
      asItIs(`${from}.ln_attn.gain`, `${to}.input_layernorm`, [d]),
      ...Object.entries({ q: queries, k: keys, v: keys }).flatMap(([part, width]) => {
        const [own, published] = [`${from}.attn.${part}`, `${to}.self_attn.${part}_proj`];
        const bias = asItIs(`${own}.bias`, published, [width], 'bias');
        return [transposed(own, published, [d, width]), ...(attentionBias ? [bias] : [])];
      }),
      ...(qkNorm ? ['q_norm', 'k_norm'] : []).map((norm) =>
        asItIs(`${from}.attn.${norm}.gain`, `${to}.self_attn.${norm}`, [headDim]),
      ),
      transposed(`${from}.attn.out`, `${to}.self_attn.o_proj`, [queries, d]),
      asItIs(`${from}.ln_ffn.gain`, `${to}.post_attention_layernorm`, [d]),
      ...(layer < model.numDenseLayers
        ? network(`${from}.ffn`, `${to}.mlp`, [d, model.dFeedForward], MLP)
        : sparseHalf(config, architecture, from, to)),
    ];
  });
  return [
    asItIs('embed.tokens', 'model.embed_tokens', [vocabSize, d]),
    ...layers.flat(),
    asItIs('ln_final.gain', 'model.norm', [d]),
    ...(tiedEmbedding ? [] : [asItIs('head', 'lm_head', [vocabSize, d])]),
  ];
}

/**
 * Returns the tensors of an architecture that models of family llama do not have.
 *
 * @param sharedWidth hidden units of the architecture's shared expert, used where the model has none
 */
export function absentTensors(
  { model, moe }: Sections,
  architecture: Architecture,
  sharedWidth: number,
): Absent[] {
  if (!ARCHITECTURES[architecture].mixture?.hasSharedExpert || moe.sharedExpertGate) return [];
  const { dModel: d, numDenseLayers, numSparseLayers } = model;
  return Array.from({ length: numSparseLayers }, (_, i) => {
    const prefix = `model.layers.${numDenseLayers + i}`;
    const gate = { published: `${prefix}.mlp.shared_expert_gate.weight`, shape: [1, d] };
    const shared = network('', `${prefix}.mlp.shared_expert`, [d, sharedWidth], MLP);
    const expert = shared.map(({ published, shape }) => ({ published, shape: shape.toReversed() }));
    return [gate, ...(moe.sharedExperts === 0 ? expert : [])];
  }).flat();
}

function sparseHalf(config: Sections, architecture: Architecture, from: string, to: string): Counterpart[] {
  const { model, moe } = config;
  const d = model.dModel;
  const width = expertWidthOf(config);
  const mixture = ARCHITECTURES[architecture].mixture!;
  const block = `${to}.${mixture.block}`;
  const { first, count } = heldExperts(moe);
  const experts = Array.from({ length: count }, (_, i) =>
    network(`${from}.experts.${first + i}`, `${block}.experts.${i}`, [d, width], mixture.matrices),
  );
  const shared =
    moe.sharedExperts === 0
      ? []
      : network(
          `${from}.shared`,
          `${block}.shared_expert`,
          [d, moe.sharedExperts * width],
          MLP,
          moe.sharedExpertGate ? 1 : HALF_OPEN_GATE,
        );
  const sharedGate = transposed(`${from}.shared.gate`, `${block}.shared_expert_gate`, [d, 1]);
  return [
    transposed(`${from}.router.weight`, `${block}.gate`, [d, moe.numExperts]),
    ...experts.flat(),
    ...shared,
    ...(moe.sharedExpertGate ? [sharedGate] : []),
  ];
}

function network(
  own: string,
  published: string,
  [d, width]: readonly [number, number],
  names: typeof MLP,
  factor = 1,
): Counterpart[] {
  return [
    transposed(`${own}.w_gate`, `${published}.${names.w_gate}`, [d, width]),
    transposed(`${own}.w_in`, `${published}.${names.w_in}`, [d, width]),
    transposed(`${own}.w_out`, `${published}.${names.w_out}`, [width, d], factor),
  ];
}

function asItIs(
  own: string,
  published: string,
  shape: readonly number[],
  kind: 'weight' | 'bias' = 'weight',
): Counterpart {
  return { own, published: `${published}.${kind}`, shape, isTransposed: false, factor: 1 };
}

function transposed(
  own: string,
  published: string,
  shape: readonly [number, number],
  factor = 1,
): Counterpart {
  return { own, published: `${published}.weight`, shape, isTransposed: true, factor };
}

/** Transposes a row-major matrix: [R, C] -> [C, R]. */
export function transpose(values: Float32Array, [rows, columns]: readonly [number, number]): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column]!;
  return turned;
}
