import {
  type Architecture,
  type Attention,
  type Experts,
  type FeedForward,
  type Norm,
  ofExpert,
  type Parameter,
  type Projection,
} from 'locmoe/internal/architecture/architecture';
import { attentions, numCachedLayers } from '../exported-architecture.js';
import { dispatchedRows } from './dispatched-rows.js';
import { FLOAT, Graph, INT64, type Value } from './graph.js';
import { domainInput, type Routing, routing } from './routing.js';

// Shapes: B sequences, S positions, P = `seqLen` positions, C positions in the cache, N = C + S keys, T = B S tokens, d hidden
// size, H heads of queries, K of keys and values, G = H / K, h size of a head, E experts, R kept choices of one expert, V
// vocabulary.

/** Reads the values of a tensor of the checkpoint. */
type ReadTensor = (name: string, shape: readonly number[]) => Float32Array;

/**
 * Builds the whole model as one graph. Inputs are token ids, domains if there are several, and the keys and values of
 * the C previous tokens; outputs are logits, the router's decisions for each sparse layer, and the keys and values
 * including those of the S tokens. The tensors of the checkpoint keep their names; inputs and outputs, and
 * the symbols in their shapes, are named as in Optimum's decoders, which transformers.js expects. See
 * docs/export.md for both.
 *
 * @param architecture one in which each router has a rule
 */
export function modelGraph(architecture: Architecture, read: ReadTensor): Graph {
  return new ModelGraph(architecture, read).build();
}

class ModelGraph {
  readonly #graph = new Graph();
  readonly #tokenIdsBS: Value;
  /** 1 for a token, 0 for padding before a text. */
  readonly #maskBN: Value;
  readonly #domainB: Value | null;
  /** The range of the S tokens among the N positions: the first, and the one after the last, [1] each. */
  readonly #span: readonly [Value, Value];
  /** The values of `#cache`: those of the cache, and with those of the S tokens. */
  readonly #past: readonly Value[];
  readonly #presents: Value[] = [];
  readonly #routings: { readonly layer: string; readonly numExperts: number; readonly decided: Routing }[] =
    [];

  constructor(
    private readonly architecture: Architecture,
    private readonly read: ReadTensor,
  ) {
    const graph = this.#graph;
    const tokens = (name: string, length: string) =>
      graph.input({ name, type: 'INT64', shape: ['batch_size', length] });
    this.#tokenIdsBS = tokens('input_ids', 'sequence_length');
    this.#maskBN = tokens('attention_mask', 'total_sequence_length');
    const numDomains = architecture.expertsOfDomain.length;
    this.#domainB = numDomains === 1 ? null : domainInput(graph, numDomains);
    this.#past = this.#cache('past_key_values', 'past_sequence_length').map((info) => graph.input(info));
    const first = graph.node('Shape', this.#past.slice(0, 1), { start: 2, end: 3 });
    this.#span = [first, graph.node('Add', [first, graph.node('Shape', [this.#tokenIdsBS], { start: 1 })])];
  }

  build(): Graph {
    const graph = this.#graph;
    const { tokens, positions, blocks, vocabSize } = this.architecture;
    const mask = this.#mask();
    let xBSD = graph.node('Gather', [this.#parameter(tokens), this.#tokenIdsBS]);
    if (positions !== null) xBSD = graph.node('Add', [xBSD, this.#atPositions(this.#parameter(positions))]);
    for (const { layer, norm, operation } of blocks)
      xBSD = graph.within(`${layer}.${operation.op}`, () => {
        const inputBSD = this.#norm(norm, xBSD);
        if (operation.op === 'experts') return this.#plusExperts(layer, operation, xBSD, inputBSD);
        const outputBSD =
          operation.op === 'attention'
            ? this.#attention(operation, inputBSD, mask)
            : this.#feedForward(operation, inputBSD);
        return graph.node('Add', [xBSD, outputBSD]);
      });
    if (this.#presents.length < this.#past.length) this.#presents.push(this.#idsWithPast());
    const shape = ['batch_size', 'sequence_length'];
    graph.output(this.#logits(xBSD), { name: 'logits', type: 'FLOAT', shape: [...shape, vocabSize] });
    for (const { layer, numExperts, decided } of this.#routings) {
      const { keptBSE, weightsBSE, affinitiesBSE } = decided;
      const keptWeightsBSE = graph.node('Where', [keptBSE, weightsBSE, graph.float(0)]);
      const ofExperts = { type: 'FLOAT', shape: [...shape, numExperts] } as const;
      graph.output(keptWeightsBSE, { ...ofExperts, name: `${layer}.weights` });
      graph.output(affinitiesBSE, { ...ofExperts, name: `${layer}.affinities` });
    }
    for (const [i, info] of this.#cache('present', 'total_sequence_length').entries())
      graph.output(this.#presents[i]!, info);
    return graph;
  }

  /** Returns keys and values of each attention, and the ids where a router needs them, as inputs or outputs. */
  #cache(prefix: string, length: string) {
    const layers = attentions(this.architecture);
    const parts = layers.flatMap((_, i) => [`${i}.key`, `${i}.value`]);
    if (numCachedLayers(this.architecture) > layers.length) parts.push(`${layers.length}.key`);
    const { numKeyValueHeads, headDim } = layers[0]!;
    return parts.map((part) => ({
      name: `${prefix}.${part}`,
      type: 'FLOAT' as const,
      shape: ['batch_size', numKeyValueHeads, length, headDim],
    }));
  }

  /** Appends the ids to those of the cache; all heads and coordinates have the same, [B, K, N, h]. */
  #idsWithPast(): Value {
    const graph = this.#graph;
    const { numKeyValueHeads, headDim } = attentions(this.architecture)[0]!;
    const idsBS = graph.node('Cast', [this.#tokenIdsBS], { to: FLOAT });
    const idsB1S1 = graph.node('Unsqueeze', [idsBS, graph.integers(1, 3)]);
    const idsBKSh = graph.node('Expand', [idsB1S1, graph.integers(1, numKeyValueHeads, 1, headDim)]);
    return graph.node('Concat', [this.#past.at(-1)!, idsBKSh], { axis: 2 });
  }

  /** Returns the ids `distance` tokens before the S tokens, or the first that is no padding, [B, S]. */
  #idsBefore(distance: number): Value {
    if (distance === 0) return this.#tokenIdsBS;
    const graph = this.#graph;
    const idsBNh = graph.node('Gather', [this.#idsWithPast(), graph.integer(0)], { axis: 1 });
    const idsBN = graph.node('Gather', [idsBNh, graph.integer(0)], { axis: 2 });
    const [idsBS, isThereBS] = [graph.node('Cast', [idsBN], { to: INT64 }), this.#maskBN].map((allBN) => {
      const movedBN = graph.node('Pad', [allBN, graph.integers(0, distance, 0, 0)]);
      return graph.node('Slice', [movedBN, ...this.#span, graph.integers(1)]);
    }) as [Value, Value];
    const isAbsentBS = graph.node('Equal', [isThereBS, graph.integer(0)]);
    return graph.node('Where', [isAbsentBS, this.#idsBefore(distance - 1), idsBS]);
  }

  /**
   * Returns the rows of a table, [P, n], for the tokens, [B, S, n]; positions are counted from the first
   * token that is not padding. Unlike Slice, Gather refuses a sequence that is too long; its error contains
   * the name of the node, which is all that a caller sees.
   */
  #atPositions(tablePN: Value): Value {
    const graph = this.#graph;
    return graph.within(`at most ${this.architecture.seqLen} tokens in input_ids`, () => {
      const numTokensBN = graph.node('CumSum', [this.#maskBN, graph.integer(1)]);
      const positionsBN = graph.node('Max', [
        graph.node('Sub', [numTokensBN, graph.integer(1)]),
        graph.integer(0),
      ]);
      const positionsBS = graph.node('Slice', [positionsBN, ...this.#span, graph.integers(1)]);
      return graph.node('Gather', [tablePN, positionsBS]);
    });
  }

  /** Computes the mask: -1e9 for keys after the query and for padding, otherwise 0, [B, 1, S, N]. */
  #mask(): Value {
    const graph = this.#graph;
    const [first, end] = this.#span;
    return graph.within('mask', () => {
      const numKeys = graph.node('Squeeze', [end]);
      const keysN = graph.node('Range', [graph.integer(0), numKeys, graph.integer(1)]);
      const queriesS = graph.node('Slice', [keysN, first, end]);
      const isLaterSN = graph.node('Less', [
        graph.node('Unsqueeze', [queriesS, graph.integers(1)]),
        graph.node('Unsqueeze', [keysN, graph.integers(0)]),
      ]);
      const isPaddingBN = graph.node('Equal', [this.#maskBN, graph.integer(0)]);
      const isPaddingB11N = graph.node('Unsqueeze', [isPaddingBN, graph.integers(1, 2)]);
      const isHiddenB1SN = graph.node('Or', [isLaterSN, isPaddingB11N]);
      return graph.node('Where', [isHiddenB1SN, graph.float(-1e9), graph.float(0)]);
    });
  }

  /** Computes softmax(q k^T / sqrt(h) + mask) v of each head, times `out`. */
  #attention(attention: Attention, inputBSD: Value, mask: Value): Value {
    const graph = this.#graph;
    const { numHeads, numKeyValueHeads, headDim, projections, out } = attention;
    const parts = new Map(projections.flatMap((each) => this.#heads(attention, each, inputBSD)));
    const queriesBHSh = graph.node('Mul', [parts.get('queries')!, graph.float(1 / Math.sqrt(headDim))]);
    const keysBKNh = this.#withPast(parts.get('keys')!);
    const valuesBKNh = this.#withPast(parts.get('values')!);
    const keysBKhN = graph.node('Transpose', [keysBKNh], { perm: [0, 1, 3, 2] });
    // With G > 1 there is a dimension more, along which keys and values are broadcast: [B, K, G, S, h].
    const isGrouped = numHeads > numKeyValueHeads;
    const reshaped = (x: Value, ...shape: readonly number[]) =>
      isGrouped ? graph.node('Reshape', [x, graph.integers(...shape)]) : x;
    const shared = (x: Value) => (isGrouped ? graph.node('Unsqueeze', [x, graph.integers(2)]) : x);
    const queries = reshaped(queriesBHSh, 0, numKeyValueHeads, numHeads / numKeyValueHeads, -1, headDim);
    const products = graph.node('MatMul', [queries, shared(keysBKhN)]);
    const probs = graph.node('Softmax', [graph.node('Add', [products, shared(mask)])], { axis: -1 });
    const mixed = graph.node('MatMul', [probs, shared(valuesBKNh)]);
    const mixedBHSh = reshaped(mixed, 0, numHeads, -1, headDim);
    const mixedBSHh = graph.node('Transpose', [mixedBHSh], { perm: [0, 2, 1, 3] });
    return this.#linear(graph.node('Reshape', [mixedBSHh, graph.integers(0, 0, numHeads * headDim)]), out);
  }

  /** Computes the heads that a projection gives, [B, H, S, h] or [B, K, S, h]. */
  #heads(
    { numHeads, numKeyValueHeads, headDim, rotation }: Attention,
    { gives, of, weight, bias, headNorm }: Projection,
    inputBSD: Value,
  ): [Projection['gives'][number], Value][] {
    const graph = this.#graph;
    const rowsBSD = of === 'input' ? inputBSD : this.#atPositions(this.#parameter(of));
    const products = this.#linear(rowsBSD, weight);
    const columns = bias === null ? products : graph.node('Add', [products, this.#parameter(bias)]);
    const counts = gives.map((part) => (part === 'queries' ? numHeads : numKeyValueHeads));
    const sizes = counts.map((count) => count * headDim);
    const columnsOf =
      gives.length === 1
        ? [columns]
        : graph.nodeWith<number>(gives.length, 'Split', [columns, graph.integers(...sizes)], { axis: -1 });
    return gives.map((part, i) => {
      let heads = graph.node('Reshape', [columnsOf[i]!, graph.integers(0, 0, counts[i]!, headDim)]);
      if (headNorm !== null) heads = this.#norm(headNorm, heads);
      if (rotation !== null && part !== 'values') heads = this.#rotated(heads, rotation);
      return [part, graph.node('Transpose', [heads], { perm: [0, 2, 1, 3] })];
    });
  }

  /** Rotates heads by the angles of their positions, [B, S, H, h]. */
  #rotated(headsBSHh: Value, rotation: readonly number[]): Value {
    const graph = this.#graph;
    const { seqLen } = this.architecture;
    const ofPositions = (name: string, valuesOf: (angle: number) => readonly [number, number]) => {
      const tablePh = graph.initializer(`${name} ${rotation}`, [seqLen, 2 * rotation.length], () =>
        Float32Array.from(
          Array.from({ length: seqLen }, (_, position) => {
            const pairs = rotation.map((each) => valuesOf(position * each));
            return [0, 1].flatMap((half) => pairs.map((pair) => pair[half]!));
          }).flat(),
        ),
      );
      return graph.node('Unsqueeze', [this.#atPositions(tablePh), graph.integers(2)]);
    };
    const cosines = ofPositions('cosines', (angle) => [Math.cos(angle), Math.cos(angle)]);
    const sines = ofPositions('sines', (angle) => [-Math.sin(angle), Math.sin(angle)]);
    const [first, second] = graph.nodeWith(2, 'Split', [headsBSHh], { axis: -1, num_outputs: 2 });
    const swapped = graph.node('Concat', [second, first], { axis: -1 });
    return graph.node('Add', [graph.node('Mul', [headsBSHh, cosines]), graph.node('Mul', [swapped, sines])]);
  }

  /** Appends keys or values of the S tokens to those of the cache: [B, K, S, h] -> [B, K, N, h]. */
  #withPast(xBKSh: Value): Value {
    const value = this.#graph.node('Concat', [this.#past[this.#presents.length]!, xBKSh], { axis: 2 });
    this.#presents.push(value);
    return value;
  }

  #feedForward(
    { activation, into, out }: FeedForward,
    x: Value,
    ofIts = (parameter: Parameter) => parameter,
  ): Value {
    const graph = this.#graph;
    const [first, second] = into.map((weight) => this.#linear(x, ofIts(weight)));
    const hidden =
      activation === 'gelu'
        ? graph.node('Gelu', [first!], { approximate: 'tanh' })
        : graph.node('Mul', [graph.node('Mul', [first!, graph.node('Sigmoid', [first!])]), second!]);
    return this.#linear(hidden, ofIts(out));
  }

  /**
   * Adds to x the weighted outputs of the experts that take the token, each computed only on its own tokens,
   * and those of shared experts.
   */
  #plusExperts(layer: string, experts: Experts, xBSD: Value, inputBSD: Value): Value {
    const graph = this.#graph;
    const { rule, numExperts, held, network, shared } = experts;
    const decided = graph.within(`${layer}.router`, () =>
      routing(rule!, {
        graph,
        architecture: this.architecture,
        numExperts,
        xBSD: inputBSD,
        tokenIdsBS: this.#tokenIdsBS,
        idsBefore: (distance) => this.#idsBefore(distance),
        domainB: this.#domainB,
        parameter: (parameter, ...shape) => this.#parameter(parameter, shape),
      }),
    );
    this.#routings.push({ layer, numExperts, decided });
    const rows = (x: Value) => graph.node('Reshape', [x, graph.integers(-1, this.architecture.dModel)]);
    const inputTD = rows(inputBSD);
    const sharedBSD = shared === null ? xBSD : graph.node('Add', [xBSD, this.#shared(shared, inputBSD)]);
    // There is a scatter for each expert: within one scatter, ONNX Runtime adds on several threads, and two
    // rows for the same token would race (github.com/microsoft/onnxruntime/issues/18048).
    const sumTD = dispatchedRows(graph, experts, decided).reduce((sumTD, { tokenR1, weightR1 }, i) => {
      const rowsRD = graph.node('GatherND', [inputTD, tokenR1]);
      const outputsRD = this.#feedForward(network, rowsRD, (parameter) =>
        ofExpert(parameter, held.first + i),
      );
      const weightedRD = graph.node('Mul', [outputsRD, weightR1]);
      return graph.node('ScatterND', [sumTD, tokenR1, weightedRD], { reduction: 'add' });
    }, rows(sharedBSD));
    return graph.node('Reshape', [sumTD, graph.node('Shape', [xBSD])]);
  }

  #shared({ network, gate }: NonNullable<Experts['shared']>, inputBSD: Value): Value {
    const graph = this.#graph;
    const outputBSD = this.#feedForward(network, inputBSD);
    if (gate === null) return outputBSD;
    return graph.node('Mul', [outputBSD, graph.node('Sigmoid', [this.#linear(inputBSD, gate)])]);
  }

  /** Computes the logits, [B, S, V]. */
  #logits(xBSD: Value): Value {
    const graph = this.#graph;
    const { dModel, vocabSize, norm, head } = this.architecture;
    return graph.within('logits', () => {
      const hiddenTD = graph.node('Reshape', [this.#norm(norm, xBSD), graph.integers(-1, dModel)]);
      const logitsTV = graph.node('Gemm', [hiddenTD, this.#parameter(head)], { transB: 1 });
      const sizes = [graph.node('Shape', [this.#tokenIdsBS]), graph.integers(vocabSize)];
      return graph.node('Reshape', [logitsTV, graph.node('Concat', sizes, { axis: 0 })]);
    });
  }

  /** Normalises along the last axis. */
  #norm(norm: Norm, x: Value): Value {
    const graph = this.#graph;
    const gain = this.#parameter(norm.gain);
    if (norm.op === 'layerNorm')
      return graph.node('LayerNormalization', [x, gain, this.#parameter(norm.bias)], {
        axis: -1,
        epsilon: { float: norm.epsilon },
      });
    // ONNX Runtime fuses this form into one operator.
    const squares = graph.node('Pow', [x, graph.float(2)]);
    const mean = graph.node('ReduceMean', [squares, graph.integers(-1)], { keepdims: 1 });
    const root = graph.node('Sqrt', [graph.node('Add', [mean, graph.float(norm.epsilon)])]);
    return graph.node('Mul', [graph.node('Div', [x, root]), gain]);
  }

  /** Computes x W. */
  #linear(x: Value, weight: Parameter): Value {
    return this.#graph.node('MatMul', [x, this.#parameter(weight)]);
  }

  /** Returns a parameter as a constant, in another shape if one is given. */
  #parameter({ name, shape }: Parameter, as = shape): Value {
    return this.#graph.initializer(name, as, () => this.read(name, shape));
  }
}
