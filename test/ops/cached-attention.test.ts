import * as tf from '@tensorflow/tfjs-node';
import { it } from 'vitest';
import { BLOCK_OF_CACHE, cachedAttention } from '../../src/ops/on-host.js';
import { causalAttention } from '../../src/ops/operations.js';
import { expectClose, randomValues } from '../model/support.js';

it.each([
  [1, 8, 2, 2],
  [5, 12, 3, 3],
  [9, 4, 1, 1],
  [5, 16, 8, 2],
])('equals attention over the whole sequence: %i positions, d = %i, %i heads, %i of keys', (...sizes) => {
  const [seqLen, d, numHeads, numKeyValueHeads] = sizes;
  const e = (d / numHeads) * numKeyValueHeads;
  const width = d + 2 * e;
  const heads = { numHeads, numKeyValueHeads };
  const qkv = randomValues('qkv', seqLen * width);
  const expected = tf.tidy(() =>
    causalAttention(tf.tensor2d(qkv, [seqLen, width]), { numSequences: 1, seqLen, ...heads })
      .dataSync()
      .slice(),
  );
  const room = Math.ceil(seqLen / BLOCK_OF_CACHE) * BLOCK_OF_CACHE * e;
  const cache = { keys: new Float32Array(room).fill(9), values: new Float32Array(room).fill(9) };
  const y = new Float32Array(d).fill(7);
  for (let position = 0; position < seqLen; position++) {
    const row = qkv.subarray(position * width, (position + 1) * width);
    cache.keys.set(row.subarray(d, d + e), position * e);
    cache.values.set(row.subarray(d + e), position * e);
    cachedAttention(row.subarray(0, d), cache, position + 1, heads, y);
    expectClose(y, expected.subarray(position * d, (position + 1) * d), 1e-5);
  }
});
