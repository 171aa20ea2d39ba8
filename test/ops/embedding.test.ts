import * as tf from '@tensorflow/tfjs-node';
import { describe, it } from 'vitest';
import { embedding } from '../../src/ops/operations.js';
import { checkGradients, expectClose, positionsOf, randomIntegers, randomValues } from '../model/support.js';

it('embedding takes the position of each token in its segment', () => {
  const [vocab, d] = [7, 4];
  const [tokens, places] = [randomValues('tokens', vocab * d), randomValues('positions', 3 * d)];
  const ids = randomIntegers('ids', 6, vocab);
  const positions = positionsOf([2, 1], [3]);
  const op = (...args: tf.Tensor[]) =>
    embedding(args[0] as tf.Tensor2D, args[1] as tf.Tensor2D, ids, 3, positions);
  const expected = Array.from(ids).flatMap((id, t) =>
    Array.from({ length: d }, (_, i) => tokens[id * d + i] + places[positions[t] * d + i]),
  );
  const actual = tf.tidy(() => [
    ...op(tf.tensor(tokens, [vocab, d]), tf.tensor(places, [3, d])).dataSync<'float32'>(),
  ]);
  expectClose(actual, expected, 1e-6);
  checkGradients(op, [
    { shape: [vocab, d], values: tokens },
    { shape: [3, d], values: places },
  ]);
});

// A sequence may be shorter than the table of positions, and token ids repeat.
const shapes = [
  [1, 1, 1],
  [2, 3, 3],
  [3, 2, 5],
] as const;

describe.each(shapes)('embedding of %i sequences of %i, %i positions', (numSequences, seqLen, longest) => {
  const [vocab, d] = [7, 4];
  const tokens = { shape: [vocab, d], values: randomValues('tokens', vocab * d) };
  const positions = { shape: [longest, d], values: randomValues('positions', longest * d) };
  const ids = randomIntegers('ids', numSequences * seqLen, vocab);
  const op = (...args: tf.Tensor[]) => embedding(args[0] as tf.Tensor2D, args[1] as tf.Tensor2D, ids, seqLen);

  it('equals the loop', () => {
    const expected = Array.from(ids).flatMap((id, t) =>
      Array.from({ length: d }, (_, i) => tokens.values[id * d + i] + positions.values[(t % seqLen) * d + i]),
    );
    const actual = tf.tidy(() =>
      op(...[tokens, positions].map(({ values, shape }) => tf.tensor(values, shape)))
        .dataSync()
        .slice(),
    );
    expectClose(actual, expected, 1e-6);
  });

  it('has the gradients of finite differences', () => {
    checkGradients(op, [tokens, positions]);
  });
});
