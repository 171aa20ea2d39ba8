import { expertWidthOf, type RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { LAYER_NORM_EPSILON } from 'locmoe/internal/ops/on-host';
import { heldExperts } from 'locmoe/internal/routing/domain-groups';
import { dispatchedRows } from './dispatched-rows.js';
import { Graph, type Value } from './graph.js';
import { domainInput, ROUTINGS, type Routing } from './routing.js';

// Shapes: B sequences, S positions, C positions in the cache, K = C + S keys, T = B S tokens, d hidden size,
// F hidden size of a feed-forward network, H heads, h = d / H, E experts, R kept choices of one expert, V
// vocabulary.

const QUERY = 'query';

/** Reads the values of a tensor of the checkpoint. */
type ReadTensor = (name: string, shape: readonly number[]) => Float32Array;

/**
 * Builds the whole model as one graph. Inputs are token ids and domains, and the keys and values of the C
 * previous tokens; outputs are logits, the router's decisions for each sparse layer, and the keys and values
 * including those of the S tokens. The tensors of the checkpoint keep their names; inputs and outputs, and
 * the symbols in their shapes, are named as in Optimum's decoders, which transformers.js expects. See
 * docs/export.md for both.
 *
 * @throws TrainerError `BAD_INPUT` if there is no graph for the router
 */
export function modelGraph(config: RunConfig, read: ReadTensor): Graph {
  return new ModelGraph(config, read).build();
}

/** Returns the prefixes of the tensors of each attention layer, from the bottom. */
export function attentionPrefixes({ model }: RunConfig): string[] {
  const numLayers = model.numDenseLayers + model.numSparseLayers;
  const layers = Array.from({ length: numLayers }, (_, layer) => `layers.${layer}`);
  return model.queryLayer ? [...layers, QUERY] : layers;
}

class ModelGraph {
  readonly #graph = new Graph();
  readonly #tokenIdsBS: Value;
  /** 1 for a token, 0 for padding before a text. */
  readonly #maskBK: Value;
  readonly #domainB: Value;
  /** The range of the S tokens among the K positions: the first, and the one after the last, [1] each. */
  readonly #span: readonly [Value, Value];
  readonly #presents: { readonly value: Value; readonly name: string }[] = [];
  readonly #routings: { readonly prefix: string; readonly routing: Routing }[] = [];

  constructor(
    private readonly config: RunConfig,
    private readonly read: ReadTensor,
  ) {
    const graph = this.#graph;
    const tokens = (name: string, length: string) =>
      graph.input({ name, type: 'INT64', shape: ['batch_size', length] });
    this.#tokenIdsBS = tokens('input_ids', 'sequence_length');
    this.#maskBK = tokens('attention_mask', 'total_sequence_length');
    this.#domainB = domainInput(graph, config);
    const past = attentionPrefixes(config).flatMap((_, i) =>
      ['key', 'value'].map((name) =>
        graph.input({
          name: `past_key_values.${i}.${name}`,
          type: 'FLOAT',
          shape: this.#cacheShape('past_sequence_length'),
        }),
      ),
    );
    const first = graph.node('Shape', past.slice(0, 1), { start: 2, end: 3 });
    this.#span = [first, graph.node('Add', [first, graph.node('Shape', [this.#tokenIdsBS], { start: 1 })])];
  }

  build(): Graph {
    const { model } = this.config;
    const mask = this.#mask();
    let xBSD = this.#embedding();
    for (let layer = 0; layer < model.numDenseLayers + model.numSparseLayers; layer++) {
      const prefix = `layers.${layer}`;
      xBSD = this.#attentionHalf(prefix, xBSD, mask);
      xBSD =
        layer < model.numDenseLayers ? this.#feedForwardHalf(prefix, xBSD) : this.#expertsHalf(prefix, xBSD);
    }
    if (model.queryLayer) xBSD = this.#feedForwardHalf(QUERY, this.#attentionHalf(QUERY, xBSD, mask));
    this.#graph.output(this.#logits(xBSD), {
      name: 'logits',
      type: 'FLOAT',
      shape: ['batch_size', 'sequence_length', model.vocabSize],
    });
    for (const { prefix, routing } of this.#routings) this.#outputRouting(prefix, routing);
    for (const { value, name } of this.#presents)
      this.#graph.output(value, { name, type: 'FLOAT', shape: this.#cacheShape('total_sequence_length') });
    return this.#graph;
  }

  #embedding(): Value {
    const { model } = this.config;
    const tokensVD = this.#parameter('embed.tokens', [model.vocabSize, model.dModel]);
    const rowsBSD = this.#graph.node('Gather', [tokensVD, this.#tokenIdsBS]);
    return this.#graph.node('Add', [rowsBSD, this.#positions('embed.positions')]);
  }

  #cacheShape(length: string): (number | string)[] {
    const { numHeads, dModel } = this.config.model;
    return ['batch_size', numHeads, length, dModel / numHeads];
  }

  /**
   * Returns the rows of a position embedding for the tokens, [B, S, d]; positions are counted from the first
   * token that is not padding. Unlike Slice, Gather refuses a sequence that is too long; its error contains
   * the name of the node, which is all that a caller sees.
   */
  #positions(name: string): Value {
    const { model } = this.config;
    const graph = this.#graph;
    const positionsPD = this.#parameter(name, [model.seqLen, model.dModel]);
    return graph.within(`at most ${model.seqLen} tokens in input_ids`, () => {
      const numTokensBK = graph.node('CumSum', [this.#maskBK, graph.integer(1)]);
      const positionsBK = graph.node('Max', [
        graph.node('Sub', [numTokensBK, graph.integer(1)]),
        graph.integer(0),
      ]);
      const positionsBS = graph.node('Slice', [positionsBK, ...this.#span, graph.integers(1)]);
      return graph.node('Gather', [positionsPD, positionsBS]);
    });
  }

  /** Computes the mask: -1e9 for keys after the query and for padding, otherwise 0, [B, 1, S, K]. */
  #mask(): Value {
    const graph = this.#graph;
    const [first, end] = this.#span;
    return graph.within('mask', () => {
      const numKeys = graph.node('Squeeze', [end]);
      const keysK = graph.node('Range', [graph.integer(0), numKeys, graph.integer(1)]);
      const queriesS = graph.node('Slice', [keysK, first, end]);
      const isLaterSK = graph.node('Less', [
        graph.node('Unsqueeze', [queriesS, graph.integers(1)]),
        graph.node('Unsqueeze', [keysK, graph.integers(0)]),
      ]);
      const isPaddingBK = graph.node('Equal', [this.#maskBK, graph.integer(0)]);
      const isPaddingB11K = graph.node('Unsqueeze', [isPaddingBK, graph.integers(1, 2)]);
      const isHiddenB1SK = graph.node('Or', [isLaterSK, isPaddingB11K]);
      return graph.node('Where', [isHiddenB1SK, graph.float(-1e9), graph.float(0)]);
    });
  }

  /** Adds the attention. In the query layer, the queries are those of the next position (src/model/query-layer.ts). */
  #attentionHalf(prefix: string, xBSD: Value, mask: Value): Value {
    const graph = this.#graph;
    const { dModel } = this.config.model;
    const split = <N extends number>(xBSC: Value, n: N) =>
      graph.nodeWith(n, 'Split', [xBSC], { axis: -1, num_outputs: n });
    return graph.within(`${prefix}.attn`, () => {
      const normalBSD = this.#norm(`${prefix}.ln_attn`, xBSD);
      if (prefix !== QUERY) {
        const [q, k, v] = split(this.#linear(normalBSD, `${prefix}.attn.qkv`, [dModel, 3 * dModel]), 3);
        return this.#attended(prefix, xBSD, { q, k, v }, mask);
      }
      const [k, v] = split(this.#linear(normalBSD, `${prefix}.attn.kv`, [dModel, 2 * dModel]), 2);
      const q = this.#linear(this.#positions(`${prefix}.positions`), `${prefix}.attn.q`, [dModel, dModel]);
      return this.#attended(prefix, xBSD, { q, k, v }, mask);
    });
  }

  /** Computes x + W_out softmax(q k^T / sqrt(h) + mask) v; q, k and v are [B, S, d]. */
  #attended(prefix: string, xBSD: Value, { q, k, v }: Record<'q' | 'k' | 'v', Value>, mask: Value): Value {
    const graph = this.#graph;
    const { dModel, numHeads } = this.config.model;
    const scale = graph.float(1 / Math.sqrt(dModel / numHeads));
    const swapped = (x: Value, perm: readonly number[]) => graph.node('Transpose', [x], { perm });
    const heads = (x: Value) =>
      swapped(graph.node('Reshape', [x, graph.integers(0, 0, numHeads, -1)]), [0, 2, 1, 3]);
    const layer = attentionPrefixes(this.config).indexOf(prefix);
    const keysBHKh = this.#withPast(`${layer}.key`, heads(k));
    const valuesBHKh = this.#withPast(`${layer}.value`, heads(v));
    const queriesBHSh = heads(graph.node('Mul', [q, scale]));
    const productsBHSK = graph.node('MatMul', [queriesBHSh, swapped(keysBHKh, [0, 1, 3, 2])]);
    const probsBHSK = graph.node('Softmax', [graph.node('Add', [productsBHSK, mask])], { axis: -1 });
    const mixedBHSh = graph.node('MatMul', [probsBHSK, valuesBHKh]);
    const byTokenBSHh = swapped(mixedBHSh, [0, 2, 1, 3]);
    const joinedBSD = graph.node('Reshape', [byTokenBSHh, graph.integers(0, 0, dModel)]);
    return graph.node('Add', [xBSD, this.#linear(joinedBSD, `${prefix}.attn.out`, [dModel, dModel])]);
  }

  /** Appends keys or values of the S tokens to those of the cache: [B, H, S, h] -> [B, H, K, h]. */
  #withPast(name: string, xBHSh: Value): Value {
    const value = this.#graph.node('Concat', [`past_key_values.${name}`, xBHSh], { axis: 2 });
    this.#presents.push({ value, name: `present.${name}` });
    return value;
  }

  #feedForwardHalf(prefix: string, xBSD: Value): Value {
    const { dFeedForward } = this.config.model;
    const normalBSD = this.#graph.within(`${prefix}.ffn`, () => this.#norm(`${prefix}.ln_ffn`, xBSD));
    return this.#plusFeedForward(`${prefix}.ffn`, xBSD, normalBSD, dFeedForward);
  }

  #plusFeedForward(prefix: string, xBSD: Value, normalBSD: Value, width: number): Value {
    const graph = this.#graph;
    const sum = () => graph.node('Add', [xBSD, this.#feedForward(prefix, normalBSD, width)]);
    return graph.within(prefix, sum);
  }

  /** Computes W_out GELU(W_in x), with a hidden size of `width`. */
  #feedForward(prefix: string, x: Value, width: number): Value {
    const { dModel } = this.config.model;
    const before = this.#linear(x, `${prefix}.w_in`, [dModel, width]);
    const hidden = this.#graph.node('Gelu', [before], { approximate: 'tanh' });
    return this.#linear(hidden, `${prefix}.w_out`, [width, dModel]);
  }

  /**
   * Adds to x the weighted outputs of the experts that take the token, each computed only on its own tokens,
   * and those of shared experts.
   */
  #expertsHalf(prefix: string, xBSD: Value): Value {
    const graph = this.#graph;
    const { dModel } = this.config.model;
    const normalBSD = graph.within(prefix, () => this.#norm(`${prefix}.ln_ffn`, xBSD));
    const routing = this.#routing(prefix, normalBSD);
    const { sharedExperts } = this.config.moe;
    const width = expertWidthOf(this.config);
    const sharedBSD =
      sharedExperts === 0
        ? xBSD
        : this.#plusFeedForward(`${prefix}.shared`, xBSD, normalBSD, sharedExperts * width);
    return graph.within(`${prefix}.experts`, () => {
      const rows = (x: Value) => graph.node('Reshape', [x, graph.integers(-1, dModel)]);
      const normalTD = rows(normalBSD);
      // There is a scatter for each expert: within one scatter, ONNX Runtime adds on several threads, and two
      // rows for the same token would race (github.com/microsoft/onnxruntime/issues/18048).
      const { first } = heldExperts(this.config.moe);
      const sumTD = dispatchedRows(graph, this.config, routing).reduce((sumTD, { tokenR1, weightR1 }, i) => {
        const rowsRD = graph.node('GatherND', [normalTD, tokenR1]);
        const outputsRD = this.#feedForward(`${prefix}.experts.${first + i}`, rowsRD, width);
        const weightedRD = graph.node('Mul', [outputsRD, weightR1]);
        return graph.node('ScatterND', [sumTD, tokenR1, weightedRD], { reduction: 'add' });
      }, rows(sharedBSD));
      return graph.node('Reshape', [sumTD, graph.node('Shape', [xBSD])]);
    });
  }

  #routing(prefix: string, xBSD: Value): Routing {
    const { router } = this.config.moe;
    const build = ROUTINGS[router];
    if (build === undefined)
      throw new TrainerError(
        'BAD_INPUT',
        `moe.router ${router} cannot be exported to ONNX; ${Object.keys(ROUTINGS).join(', ')} can`,
      );
    const graph = this.#graph;
    const routing = graph.within(`${prefix}.router`, () =>
      build({
        graph,
        config: this.config,
        xBSD,
        tokenIdsBS: this.#tokenIdsBS,
        domainB: this.#domainB,
        parameter: (name, shape) => this.#parameter(`${prefix}.router.${name}`, shape),
      }),
    );
    this.#routings.push({ prefix, routing });
    return routing;
  }

  #outputRouting(prefix: string, { keptBSE, weightsBSE, affinitiesBSE }: Routing): void {
    const graph = this.#graph;
    const shape = ['batch_size', 'sequence_length', this.config.moe.numExperts];
    const keptWeightsBSE = graph.node('Where', [keptBSE, weightsBSE, graph.float(0)]);
    graph.output(keptWeightsBSE, { name: `${prefix}.weights`, type: 'FLOAT', shape });
    graph.output(affinitiesBSE, { name: `${prefix}.affinities`, type: 'FLOAT', shape });
  }

  /** Computes the logits, with the token embedding as the output matrix, [B, S, V]. */
  #logits(xBSD: Value): Value {
    const graph = this.#graph;
    const { dModel, vocabSize } = this.config.model;
    return graph.within('logits', () => {
      const hiddenTD = graph.node('Reshape', [this.#norm('ln_final', xBSD), graph.integers(-1, dModel)]);
      const tokensVD = this.#parameter('embed.tokens', [vocabSize, dModel]);
      const logitsTV = graph.node('Gemm', [hiddenTD, tokensVD], { transB: 1 });
      const sizes = [graph.node('Shape', [this.#tokenIdsBS]), graph.integers(vocabSize)];
      return graph.node('Reshape', [logitsTV, graph.node('Concat', sizes, { axis: 0 })]);
    });
  }

  #norm(prefix: string, xBSD: Value): Value {
    const { dModel } = this.config.model;
    const parameters = ['gain', 'bias'].map((name) => this.#parameter(`${prefix}.${name}`, [dModel]));
    const attributes = { axis: -1, epsilon: { float: LAYER_NORM_EPSILON } };
    return this.#graph.node('LayerNormalization', [xBSD, ...parameters], attributes);
  }

  /** Computes x W. */
  #linear(x: Value, name: string, shape: readonly [number, number]): Value {
    return this.#graph.node('MatMul', [x, this.#parameter(name, shape)]);
  }

  #parameter(name: string, shape: readonly number[]): Value {
    return this.#graph.initializer(name, shape, this.read(name, shape));
  }
}
