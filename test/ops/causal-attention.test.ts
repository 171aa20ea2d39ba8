import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { usesOneDnn } from '../../src/ops/kernels/choose-kernels.js';
import { type AttentionShape, causalAttention } from '../../src/ops/operations.js';
import { checkOperation, input, positionsOf, randomValues } from '../model/support.js';

type Case = AttentionShape & { readonly d: number };

const cases: readonly Case[] = [
  { numSequences: 1, seqLen: 1, numHeads: 1, d: 2 },
  { numSequences: 2, seqLen: 3, numHeads: 2, d: 4 },
  // Queries share heads of keys and values; each sequence has segments of its own.
  {
    numSequences: 2,
    seqLen: 5,
    numHeads: 2,
    numKeyValueHeads: 1,
    d: 4,
    positionsT: positionsOf([2, 3], [1, 1, 3]),
  },
  // Two blocks of queries, the last one shorter. One segment lies across both, and one begins in the last.
  { numSequences: 1, seqLen: 129, numHeads: 1, d: 2, positionsT: positionsOf([30, 60, 38, 1]) },
];
/** oneDNN only: TensorFlow would compile this case for seconds, and it covers nothing new of TensorFlow's kernels. */
const wide: Case = { numSequences: 1, seqLen: 129, numHeads: 3, numKeyValueHeads: 1, d: 24 };

/** Width of a row of queries, keys and values. */
function widthOf({ numHeads, numKeyValueHeads = numHeads }: AttentionShape, d: number): number {
  return d + (2 * d * numKeyValueHeads) / numHeads;
}

function slowAttention(qkv: Float32Array, shape: AttentionShape, d: number) {
  const { numSequences, seqLen, numHeads, numKeyValueHeads = numHeads, positionsT } = shape;
  const size = d / numHeads;
  const out = new Float64Array(numSequences * seqLen * d);
  for (let b = 0; b < numSequences; b++)
    for (let head = 0; head < numHeads; head++)
      for (let s = 0; s < seqLen; s++) {
        const shared = Math.floor(head / (numHeads / numKeyValueHeads));
        const heads = [head, numHeads + shared, numHeads + numKeyValueHeads + shared];
        const at = (part: number, position: number, i: number) =>
          qkv[(b * seqLen + position) * widthOf(shape, d) + heads[part] * size + i];
        const first = positionsT === undefined ? 0 : s - positionsT[b * seqLen + s];
        const weights: number[] = [];
        for (let j = first; j <= s; j++) {
          let dot = 0;
          for (let i = 0; i < size; i++) dot += at(0, s, i) * at(1, j, i);
          weights.push(Math.exp(dot / Math.sqrt(size)));
        }
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        weights.forEach((weight, j) => {
          for (let i = 0; i < size; i++)
            out[(b * seqLen + s) * d + head * size + i] += (weight / total) * at(2, first + j, i);
        });
      }
  return out;
}

it.each(usesOneDnn() ? [...cases, wide] : cases)(
  'causalAttention of $numSequences x $seqLen, $numHeads heads, $numKeyValueHeads of keys, d $d is that of a loop, positions $positionsT',
  ({ d, ...shape }) => {
    const qkv = input('qkv', [shape.numSequences * shape.seqLen, widthOf(shape, d)]);
    const op = (x: tf.Tensor) => causalAttention(x as tf.Tensor2D, shape);
    checkOperation(op, [qkv], slowAttention(qkv.values, shape, d));
  },
);

it('causalAttention stays finite for huge scores', () => {
  const values = randomValues('huge', 4 * 6, 1e4);
  const shape = { numSequences: 1, seqLen: 4, numHeads: 1 };
  const [output, gradient] = tf.tidy(() => {
    const x = tf.tensor2d(values, [4, 6]);
    const g = tf.grad((y: tf.Tensor) => causalAttention(y as tf.Tensor2D, shape))(x);
    return [causalAttention(x, shape), g].map((tensor) => [...tensor.dataSync()]);
  });
  expect(output.every(Number.isFinite) && gradient.every(Number.isFinite)).toBe(true);
});
