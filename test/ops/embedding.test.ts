import type * as tf from '@tensorflow/tfjs-node';
import { it } from 'vitest';
import { embedding } from '../../src/ops/operations.js';
import { checkOperation, input, positionsOf, randomIntegers } from '../model/support.js';

const [VOCABULARY, d] = [7, 4];

// A sequence may be shorter than the table of positions, and token ids repeat.
it.each([
  { numSequences: 1, seqLen: 1, longest: 1, positionsT: undefined },
  { numSequences: 3, seqLen: 2, longest: 5, positionsT: undefined },
  { numSequences: 2, seqLen: 3, longest: 3, positionsT: positionsOf([2, 1], [3]) },
])(
  'embedding of $numSequences sequences of $seqLen with $longest positions is that of a loop, by segments: $positionsT',
  ({ numSequences, seqLen, longest, positionsT }) => {
    const [tokens, positions] = [input('tokens', [VOCABULARY, d]), input('positions', [longest, d])];
    const ids = randomIntegers('ids', numSequences * seqLen, VOCABULARY);
    const expected = Array.from(ids).flatMap((id, t) => {
      const position = positionsT?.[t] ?? t % seqLen;
      return Array.from(
        { length: d },
        (_, i) => tokens.values[id * d + i] + positions.values[position * d + i],
      );
    });
    const op = (...args: tf.Tensor[]) =>
      embedding(args[0] as tf.Tensor2D, args[1] as tf.Tensor2D, ids, seqLen, positionsT);
    checkOperation(op, [tokens, positions], expected);
  },
);
