import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import type { AllToAllOptions } from '../../../src/collectives/all-to-all.js';
import type { Communicator, WirePrecision } from '../../../src/collectives/communicator.js';
import { allToAllRows, type RowLayout } from '../../../src/model/dispatch/all-to-all-rows.js';
import { parameterLeaf } from '../../../src/ops/autograd.js';
import { differentiate } from '../../../src/ops/backward.js';

const layoutOf = (...ranges: (readonly [begin: number, count: number])[]): RowLayout => ({
  numRows: ranges.reduce((sum, [, count]) => sum + count, 0),
  rangesOfRank: [ranges.map(([begin, count]) => ({ begin, count }))],
});

/** The only rank, which copies what it sends to itself. */
function onlyRank(wirePrecision: WirePrecision) {
  const sentBytes: number[] = [];
  const allToAll = ({ sends: [sent], receives: [received] }: AllToAllOptions) => {
    const bytes = Buffer.concat(sent!);
    sentBytes.push(bytes.length);
    let at = 0;
    for (const part of received!) {
      part.set(bytes.subarray(at, at + part.length));
      at += part.length;
    }
  };
  return { communicator: { wirePrecision, allToAll } as unknown as Communicator, sentBytes };
}

function moved(from: RowLayout, to: RowLayout, wirePrecision: WirePrecision = 'float32') {
  const { communicator, sentBytes } = onlyRank(wirePrecision);
  const options = { communicator, layer: 1, from, to, countsHash: 1, reach: undefined };
  const purpose = { forward: 'dispatch', backward: 'dispatch gradient' };
  const x = tf.variable(tf.tensor2d([1, 2, 3.001, 4], [4, 1]));
  let [values, gradient]: number[][] = [[], []];
  differentiate(() => {
    const leaf = parameterLeaf(x, (dx) => {
      gradient = [...dx.dataSync()];
    }) as tf.Tensor2D;
    const y = allToAllRows(leaf, { ...options, purpose });
    values = [...y.dataSync()];
    return tf.sum(tf.mul(y, tf.tensor2d([10, 20, 30, 40], [4, 1])));
  }, [x]);
  x.dispose();
  return { values, gradient, sentBytes };
}

it('rows of the only rank stay where they are if they are in order', () => {
  const kept = moved(layoutOf([0, 1], [1, 0], [1, 3]), layoutOf([0, 4]));
  expect(kept.sentBytes).toEqual([0, 0]);
  expect(kept.values).toEqual([1, 2, Math.fround(3.001), 4]);
  expect(kept.gradient).toEqual([10, 20, 30, 40]);
});

it('rows of the only rank are moved to another order', () => {
  const turned = moved(layoutOf([0, 4]), layoutOf([2, 2], [0, 2]));
  expect(turned.sentBytes).toEqual([16, 16]);
  expect(turned.values).toEqual([Math.fround(3.001), 4, 1, 2]);
  expect(turned.gradient).toEqual([30, 40, 10, 20]);
});

it('rows of the only rank are rounded as those that travel', () => {
  const rounded = moved(layoutOf([0, 4]), layoutOf([0, 4]), 'bfloat16');
  expect(rounded.sentBytes).toEqual([8, 8]);
  expect(rounded.values).toEqual([1, 2, 3, 4]);
});
