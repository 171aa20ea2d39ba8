import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { type AttentionShape, causalAttention } from '../../src/ops/operations.js';
import { checkGradients, expectClose, positionsOf, randomValues } from '../model/support.js';

const cases: (AttentionShape & { readonly d: number })[] = [
  { numSequences: 1, seqLen: 1, numHeads: 1, d: 2 },
  { numSequences: 1, seqLen: 5, numHeads: 1, d: 4 },
  { numSequences: 2, seqLen: 3, numHeads: 2, d: 4 },
  { numSequences: 3, seqLen: 4, numHeads: 3, d: 6 },
  // Heads of keys and values that those of queries share.
  { numSequences: 2, seqLen: 5, numHeads: 4, numKeyValueHeads: 2, d: 8 },
  { numSequences: 1, seqLen: 70, numHeads: 3, numKeyValueHeads: 1, d: 6 },
  {
    numSequences: 2,
    seqLen: 5,
    numHeads: 4,
    numKeyValueHeads: 2,
    d: 8,
    positionsT: positionsOf([2, 3], [1, 1, 3]),
  },
  // Two blocks of queries, the last one shorter.
  { numSequences: 1, seqLen: 129, numHeads: 1, d: 2 },
  // Segments, each sequence with its own; one lies across two blocks, and one begins in the last.
  { numSequences: 2, seqLen: 5, numHeads: 2, d: 4, positionsT: positionsOf([2, 3], [1, 1, 3]) },
  { numSequences: 1, seqLen: 129, numHeads: 1, d: 2, positionsT: positionsOf([30, 60, 38, 1]) },
];

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

describe.each(cases)(
  'causalAttention of $numSequences x $seqLen, $numHeads heads, $numKeyValueHeads of keys, d $d, positions $positionsT',
  ({ d, ...shape }) => {
    const rows = shape.numSequences * shape.seqLen;
    const width = widthOf(shape, d);
    const input = { shape: [rows, width], values: randomValues('qkv', rows * width) };
    const run = (values: Float32Array) =>
      tf.tidy(() =>
        causalAttention(tf.tensor2d(values, [rows, width]), shape)
          .dataSync()
          .slice(),
      );

    it('equals the loop', () => {
      expectClose(run(input.values), slowAttention(input.values, shape, d), 1e-5);
    });

    it('has the gradients of finite differences', () => {
      checkGradients((x) => causalAttention(x as tf.Tensor2D, shape), [input]);
    });

    it('does not look at later positions', () => {
      const before = run(input.values);
      for (let position = 1; position < shape.seqLen; position++) {
        const changed = input.values.slice();
        for (let b = 0; b < shape.numSequences; b++)
          changed.fill(9, (b * shape.seqLen + position) * width, (b + 1) * shape.seqLen * width);
        const after = run(changed);
        for (let b = 0; b < shape.numSequences; b++) {
          const begin = b * shape.seqLen * d;
          const end = begin + position * d;
          expect(after.subarray(begin, end)).toEqual(before.subarray(begin, end));
        }
      }
    });
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
