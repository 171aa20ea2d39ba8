import { mapTuple } from '../../../map-tuple.js';
import { narrow, widen } from '../../bfloat16.js';
import { ifWanted } from '../../gradient-target.js';
import { LAYER_NORM_EPSILON } from '../../on-host.js';
import type { tf } from '../../tensorflow.js';
import { type FusedForward, type Kernels, keyValueHeadsOf } from '../kernels.js';
import { loops, withSmallSums } from '../loops.js';
import { attentionBackward, attentionForward } from './attention.js';
import { Context } from './context.js';
import { tiedCrossEntropy } from './cross-entropy.js';
import { OneDnnNetwork } from './feed-forward.js';
import type { OneDnn } from './library.js';
import type { Operand, Values } from './operand.js';
import { transposed } from './operand.js';
import { embedding, gatherRows, scatterRows } from './rows.js';
import type { ElementType } from './tensor-memory.js';

/** @param type type of the operands of products, and of activations that are kept for the backward pass */
export function oneDnnKernels(library: OneDnn, type: ElementType): Kernels {
  const context = new Context(library, type);
  const { primitives, memory } = context;
  const create: Kernels['create'] = (shape) => {
    const { tensor, values } = memory.create(shape);
    return { tensor, values: values as Float32Array };
  };
  return {
    name: 'onednn',
    description: `oneDNN ${library.version}, ${type}`,
    create,
    ...loops(create),
    matMul: (xTA, wAB, exact) => matMul(context, xTA, wAB, exact ? 'float32' : type),
    network: () => new OneDnnNetwork(context),
    layerNorm: (xTD, gainD, biasD) => layerNorm(context, xTD, gainD, biasD),
    causalAttention(qkvTC, shape): FusedForward<[qkv: tf.Tensor, y: tf.Tensor]> {
      const [numTokens, width] = qkvTC.shape;
      const { numHeads } = shape;
      const y = memory.create([numTokens, (width * numHeads) / (numHeads + 2 * keyValueHeadsOf(shape))]);
      const qkv = context.keep(qkvTC);
      attentionForward(context, qkv.operand, y, shape);
      return {
        value: y.tensor,
        saved: [qkv.tensor, y.tensor],
        backward: (dyTD, [keptQkv, keptY]) => {
          const dQkv = memory.create(qkvTC.shape);
          const rows = { y: memory.operandOf(keptY), dy: memory.operandOf(dyTD) };
          context.with(dyTD, (dy) =>
            attentionBackward(context, dy, rows, memory.operandOf(keptQkv), dQkv, shape),
          );
          return [dQkv.tensor];
        },
      };
    },
    tiedCrossEntropy: (xTD, embeddingVD, targetsT) => tiedCrossEntropy(context, xTD, embeddingVD, targetsT),
    embedding: (...inputs) => embedding(context, ...inputs),
    add: withSmallSums(create, (x, y) => {
      const sum = memory.create(x.shape);
      primitives.combine('add', memory.operandOf(x), memory.operandOf(y), sum);
      return sum.tensor;
    }),
    gatherRows: (xTD, indicesN) => gatherRows(context, xTD, indicesN),
    scatterRows: (...inputs) => scatterRows(context, ...inputs),
    sliceRows(xTD, begin, count) {
      const width = xTD.shape[1];
      const rows = memory.create([count, width]);
      rows.values.set(memory.operandOf(xTD).values.subarray(begin * width, (begin + count) * width));
      return rows.tensor as tf.Tensor2D;
    },
    concatRows(parts) {
      const numRows = parts.reduce((sum, part) => sum + part.shape[0], 0);
      const all = memory.create([numRows, parts[0]!.shape[1]]);
      let at = 0;
      for (const part of parts) {
        all.values.set(memory.operandOf(part).values, at);
        at += part.size;
      }
      return all.tensor as tf.Tensor2D;
    },
    narrow: (from, to) => convert(context, from, to, narrow),
    widen: (from, to) => convert(context, from, to, widen),
    hostRowsProduct(xTA, numRows, wAB) {
      const [a, b] = wAB.shape as [number, number];
      const rows = Math.max(numRows, FEWEST_ROWS);
      return memory.borrow([rows, a], 'float32', (x) =>
        memory.borrow([rows, b], 'float32', (y) => {
          x.values.set(xTA);
          x.values.fill(0, xTA.length);
          primitives.product(x, memory.operandOf(wAB), y);
          return (y.values as Float32Array).slice(0, numRows * b);
        }),
      );
    },
  };
}

/** Elements converted at a time: numbers of exchanged rows vary, and each would need a compilation. */
const CONVERTED_AT_A_TIME = 1 << 14;

function convert<From extends Values, To extends Values>(
  { primitives }: Context,
  from: From,
  to: To,
  rest: (from: From, to: To) => unknown,
): void {
  const dims = [CONVERTED_AT_A_TIME];
  let at = 0;
  for (; at + CONVERTED_AT_A_TIME <= from.length; at += CONVERTED_AT_A_TIME)
    primitives.copy({ values: from.subarray(at), dims }, { values: to.subarray(at), dims });
  rest(from.subarray(at) as From, to.subarray(at) as To);
}

/** Minimum number of rows: another kernel would compute a single row, with other bits. */
const FEWEST_ROWS = 2;

function matMul(
  context: Context,
  xTA: tf.Tensor2D,
  wAB: tf.Tensor2D,
  type: ElementType,
): FusedForward<[x: tf.Tensor, w: tf.Tensor]> {
  const { primitives, memory } = context;
  const y = memory.create([xTA.shape[0], wAB.shape[1]]);
  const x = context.keep(xTA, type);
  context.with(wAB, (w) => primitives.product(x.operand, w, y), type);
  return {
    value: y.tensor,
    saved: [x.tensor, wAB],
    backward: (dyTB, [keptX, keptW]) => {
      const dx = memory.create(xTA.shape);
      const products = (dy: Operand) => {
        context.with(keptW, (w) => primitives.product(dy, transposed(w), dx), type);
        return ifWanted(keptW, () => context.gradient(keptW, memory.operandOf(keptX), dy));
      };
      return [dx.tensor, context.with(dyTB, products, type)];
    },
  };
}

function layerNorm(
  { primitives, memory }: Context,
  xTD: tf.Tensor,
  gainD: tf.Tensor,
  biasD: tf.Tensor,
): FusedForward<[x: tf.Tensor, gain: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor]> {
  const numRows = xTD.shape[0];
  const y = memory.create(xTD.shape);
  const [mean, variance] = [memory.create([numRows]), memory.create([numRows])];
  const [x, gain, bias] = mapTuple([xTD, gainD, biasD], (each) => memory.operandOf(each));
  primitives.layerNorm(x, gain, bias, y, { mean, variance }, LAYER_NORM_EPSILON);
  return {
    value: y.tensor,
    saved: [xTD, gainD, mean.tensor, variance.tensor],
    backward: (dyTD, saved) => {
      const [dx, dGain, dBias] = mapTuple([xTD, gainD, gainD], ({ shape }) => memory.create(shape));
      const [x, gain, mean, variance] = mapTuple(saved, (each) => memory.operandOf(each));
      const statistics = { mean, variance };
      const dy = memory.operandOf(dyTD);
      primitives.layerNormBackward(x, gain, statistics, dy, { dx, dGain, dBias }, LAYER_NORM_EPSILON);
      return [dx.tensor, dGain.tensor, dBias.tensor];
    },
  };
}
