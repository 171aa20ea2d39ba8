import * as tf from '@tensorflow/tfjs-node';
import { it } from 'vitest';
import { cachedAttention } from '../../src/ops/on-host.js';
import { causalAttention } from '../../src/ops/operations.js';
import { expectClose, randomValues } from '../model/support.js';

it.each([
  [1, 8, 2],
  [5, 12, 3],
  [9, 4, 1],
])('equals attention over the whole sequence: %i positions, d = %i, %i heads', (seqLen, d, numHeads) => {
  const qkv = randomValues('qkv', seqLen * 3 * d);
  const expected = tf.tidy(() =>
    causalAttention(tf.tensor2d(qkv, [seqLen, 3 * d]), { numSequences: 1, seqLen, numHeads })
      .dataSync()
      .slice(),
  );
  const room = (seqLen + 2) * d;
  const cache = { keys: new Float32Array(room), values: new Float32Array(room) };
  const y = new Float32Array(d).fill(7);
  for (let position = 0; position < seqLen; position++) {
    const [q, k, v] = [0, 1, 2].map((i) => qkv.subarray((3 * position + i) * d, (3 * position + i + 1) * d));
    cache.keys.set(k, position * d);
    cache.values.set(v, position * d);
    cachedAttention(q, cache, position + 1, numHeads, y);
    expectClose(y, expected.subarray(position * d, (position + 1) * d), 1e-5);
  }
});
