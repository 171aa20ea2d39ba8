import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { Communicator } from '../../../src/collectives/communicator.js';
import { soloTransport } from '../../../src/collectives/solo-transport.js';
import type { Transport } from '../../../src/collectives/transport.js';
import { allToAllRows, type RowLayout } from '../../../src/model/dispatch/all-to-all-rows.js';
import { randomValues } from '../support.js';

const d = 3;

describe('allToAllRows', () => {
  const from: RowLayout = { numRows: 4, rangesOfRank: [[{ begin: 0, count: 4 }]] };
  const to: RowLayout = {
    numRows: 4,
    rangesOfRank: [
      [
        { begin: 3, count: 1 },
        { begin: 1, count: 0 },
        { begin: 0, count: 3 },
      ],
    ],
  };
  const purposes: string[] = [];
  const solo = soloTransport();
  const transport: Transport = {
    ...solo,
    start(operation, sends, receives) {
      purposes.push(operation.purpose);
      return solo.start(operation, sends, receives);
    },
  };
  const options = {
    communicator: new Communicator(transport, 'flat'),
    from,
    to,
    purpose: { forward: 'there', backward: 'back' },
    layer: 0,
    countsHash: 1,
  };
  const values = randomValues('exchange', 4 * d);
  const op = (x: tf.Tensor) => allToAllRows(x as tf.Tensor2D, options);

  it('scatters what arrives into its ranges', () => {
    const moved = tf.tidy(() =>
      op(tf.tensor2d(values, [4, d]))
        .dataSync()
        .slice(),
    );
    expect(moved).toEqual(Float32Array.of(...values.subarray(d), ...values.subarray(0, d)));
  });

  it('has the reverse all-to-all as its gradient', () => {
    purposes.length = 0;
    const dy = randomValues('dy', 4 * d);
    const gradient = tf.tidy(() => {
      const x = tf.tensor2d(values, [4, d]);
      return tf
        .grad(op)(x, tf.tensor2d(dy, [4, d]))
        .dataSync()
        .slice();
    });
    expect(gradient).toEqual(Float32Array.of(...dy.subarray(3 * d), ...dy.subarray(0, 3 * d)));
    expect(purposes).toEqual(['there', 'back']);
  });
});
