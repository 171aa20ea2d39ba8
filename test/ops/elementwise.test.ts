import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { chosenColumns, sharesOfColumns } from '../../src/ops/chosen-columns.js';
import { combine, curve, softmaxRows, weightedMean } from '../../src/ops/elementwise.js';
import {
  checkGradients,
  checkOperation,
  expectClose,
  input,
  type OpInput,
  resultOf,
} from '../model/support.js';

const asMatrix = (tensor: tf.Tensor) => tensor as tf.Tensor2D;

/** Moves an input away from 0, where divisions and ReLU have no gradient. */
const awayFromZero = ({ shape, values }: OpInput): OpInput => ({
  shape,
  values: values.map((value) => value + Math.sign(value)),
});

const COMBINATIONS = { add: tf.add, subtract: tf.sub, multiply: tf.mul, divide: tf.div } as const;
const SHAPES: readonly (readonly [number[], number[]])[] = [
  [
    [5, 4],
    [5, 4],
  ],
  [[5, 4], [4]],
  [
    [5, 4],
    [5, 1],
  ],
  [[5, 4], []],
  [[5, 4], [1]],
  [
    [5, 1],
    [1, 4],
  ],
  [[4], [5, 1]],
  [[1, 1], [3]],
  [[3], [3]],
  [[], []],
];

it.each(
  Object.entries(COMBINATIONS).flatMap(([op, reference]) =>
    SHAPES.map(([x, y]) => [op as keyof typeof COMBINATIONS, x, y, reference] as const),
  ),
)('%s of %j and %j is that of TensorFlow, to the bit, with its gradients', (op, x, y, reference) => {
  for (const [first, second] of [
    [x, y],
    [y, x],
  ]) {
    const inputs = [input('first', first!), awayFromZero(input('second', second!))];
    expect(resultOf((...args) => combine(op, args[0]!, args[1]!), inputs)).toEqual(
      resultOf((...args) => reference(args[0]!, args[1]!), inputs),
    );
    checkGradients((...args) => combine(op, args[0]!, args[1]!), inputs);
    tf.tidy(() => {
      const [a, b] = inputs.map(({ values, shape }) => tf.tensor(values, [...shape]));
      expect(combine(op, a!, b!).shape).toEqual(reference(a!, b!).shape);
    });
  }
});

it.each([
  ['relu', tf.relu],
  ['sigmoid', tf.sigmoid],
  ['tanh', tf.tanh],
  ['exp', tf.exp],
] as const)('%s is the function, with its gradient', (op, reference) => {
  const x = awayFromZero(input('x', [5, 4]));
  checkOperation(
    (args) => curve(op, args),
    [x],
    resultOf((args) => reference(args), [x]),
  );
});

it('softmaxRows sums to 1, with its gradient, also of masked and of great scores', () => {
  const x = input('x', [5, 4], 3);
  checkOperation(
    (args) => softmaxRows(asMatrix(args)),
    [x],
    resultOf((args) => tf.softmax(args), [x]),
  );
  tf.tidy(() => {
    const masked = softmaxRows(tf.tensor2d([[1e4, -1e9, 1e4, -1e9]]));
    expect([...masked.dataSync()]).toEqual([0.5, 0, 0.5, 0]);
  });
});

it('weightedMean is the mean of the rows times weights, with its gradient', () => {
  const x = input('x', [5, 4]);
  const weights = [0.5, -1, 2, 0];
  const expected = x.values.reduce((sum, value, i) => sum + (value * weights[i % 4]!) / 5, 0);
  checkOperation((args) => weightedMean(args, weights), [x], [expected]);
  checkOperation(
    (args) => weightedMean(args, [1]),
    [input('losses', [7])],
    [input('losses', [7]).values.reduce((sum, value) => sum + value / 7, 0)],
  );
});

it('refuses shapes that do not match, and operations that there are not', () => {
  tf.tidy(() => {
    const [wide, narrow] = [tf.zeros<tf.Rank.R2>([5, 4]), tf.zeros<tf.Rank.R2>([5, 3])];
    expect(() => combine('add', wide, narrow)).toThrow('add of scores of the shapes [5,4] and [5,3]');
    expect(() => combine('add', wide, tf.zeros([4, 4]))).toThrow('[5,4] and [4,4]');
    expect(() => combine('add', wide, tf.zeros([5, 4, 1]))).toThrow('shape [5,4,1]');
    expect(combine('add', tf.zeros([0, 4]), tf.zeros([4])).shape).toEqual([0, 4]);
    expect(() => weightedMean(wide, [1, 2])).toThrow('2 weights for scores of the shape [5,4]');
    expect(() => curve('cube' as 'exp', wide)).toThrow('cube: no such operation');
  });
});

// The last token has one choice, and the second has none.
const CHOSEN = Int32Array.of(2, 0, -1, -1, 3, 1, 1, -1);

it('chosenColumns are the chosen elements, the first in empty places, with their gradient', () => {
  const x = input('x', [4, 4]);
  const expected = [...CHOSEN].map((column, i) => x.values[4 * Math.floor(i / 2) + Math.max(0, column)]!);
  checkOperation((args) => chosenColumns(asMatrix(args), CHOSEN, 2), [x], expected);
});

it('sharesOfColumns sum to 1 where there is a choice, with their gradient', () => {
  const { shape, values } = input('x', [4, 4]);
  const x = { shape, values: values.map(Math.exp) };
  const of = (row: number, column: number) => x.values[4 * row + column]!;
  const [first, third] = [of(0, 2) + of(0, 0), of(2, 3) + of(2, 1)];
  checkOperation(
    (args) => sharesOfColumns(asMatrix(args), CHOSEN, 2),
    [x],
    [of(0, 2) / first, of(0, 0) / first, 0, 0, of(2, 3) / third, of(2, 1) / third, 1, 0],
  );
  const zeros = tf.tidy(() => [...sharesOfColumns(tf.zeros([1, 4]), Int32Array.of(0, 1), 2).dataSync()]);
  expectClose(zeros, [0, 0], 0);
});
