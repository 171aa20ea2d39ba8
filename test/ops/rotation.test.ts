import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { queriesKeysValues, rowNorms } from '../../src/ops/operations.js';
import { rotaryFrequencies } from '../../src/ops/rotary-frequencies.js';
import { Rotation } from '../../src/ops/rotation.js';
import { checkOperation, input, positionsOf, randomValues } from '../model/support.js';

const theta = 100;
const cases = [
  { numSequences: 1, seqLen: 1, numHeads: 1, numKeyValueHeads: 1, size: 2 },
  { numSequences: 2, seqLen: 5, numHeads: 4, numKeyValueHeads: 2, size: 6 },
  {
    numSequences: 2,
    seqLen: 4,
    numHeads: 3,
    numKeyValueHeads: 1,
    size: 4,
    positionsT: positionsOf([2, 2], [1, 3]),
  },
];

/** `x * cos + rotate_half(x) * sin` of Llama, for one head. */
function rotated(head: readonly number[], position: number): number[] {
  const half = head.length / 2;
  const rotateHalf = [...head.slice(half).map((value) => -value), ...head.slice(0, half)];
  return head.map((value, i) => {
    const angle = position / theta ** ((2 * (i % half)) / head.length);
    return value * Math.cos(angle) + rotateHalf[i] * Math.sin(angle);
  });
}

it.each(cases)(
  'Rotation with $numHeads and $numKeyValueHeads heads of $size is that of a loop, positions $positionsT',
  (shape) => {
    const { numSequences, seqLen, numHeads, numKeyValueHeads, size, positionsT } = shape;
    const rows = numSequences * seqLen;
    const inputs = [numHeads, numKeyValueHeads, numKeyValueHeads].map((heads, i) =>
      input(`part ${i}`, [rows, heads * size]),
    );
    const expected = Array.from({ length: rows }, (_, row) =>
      inputs.map(({ values, shape: [, width] }, part) =>
        Array.from({ length: width / size }, (_, head) => {
          const at = row * width + head * size;
          const own = [...values.subarray(at, at + size)];
          return part === 2 ? own : rotated(own, positionsT?.[row] ?? row % seqLen);
        }),
      ),
    ).flat(3);
    const rotation = new Rotation(rotaryFrequencies(size, theta));
    const op = (...parts: tf.Tensor[]) => queriesKeysValues(parts as tf.Tensor2D[], rotation, shape);
    checkOperation(op, inputs, expected);
  },
);

it('products of rotated rows depend on the distance of their positions alone', () => {
  const rotation = new Rotation(rotaryFrequencies(8, 10_000));
  const product = (p: number, q: number) => {
    const [a, b] = [randomValues('a', 8), randomValues('b', 8)];
    rotation.rotate(a, 0, 1, p, 1);
    rotation.rotate(b, 0, 1, q, 1);
    return a.reduce((sum, value, i) => sum + value * b[i], 0);
  };
  expect(product(107, 104)).toBeCloseTo(product(3, 0), 5);
  expect(product(107, 103)).not.toBeCloseTo(product(3, 0), 5);
});

it('parts that are not rotated are joined, of which each has its columns of the gradient', () => {
  const inputs = [input('left', [2, 2]), input('right', [2, 1])];
  const [left, right] = inputs.map(({ values }) => values);
  const shape = { numSequences: 1, seqLen: 2, numHeads: 1 };
  const op = (...parts: tf.Tensor[]) => queriesKeysValues(parts as tf.Tensor2D[], null, shape);
  checkOperation(op, inputs, [left![0]!, left![1]!, right![0]!, left![2]!, left![3]!, right![1]!]);
});

it('rows have their norms', () => {
  expect([...rowNorms(tf.tensor2d([3, 4, 0, 0, -1, 0], [3, 2]))]).toEqual([5, 0, 1]);
});
