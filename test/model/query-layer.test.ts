import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { attention } from '../../src/model/blocks.js';
import { describe } from '../../src/model/describe.js';
import { allSpecs } from '../../src/model/specs.js';
import { ParameterStore } from '../../src/parameters/parameters.js';
import { randomValues, tinyConfig } from './support.js';

const config = tinyConfig({ model: { numDenseLayers: 0, numSparseLayers: 0 } });
const seqLen = 5;
const d = config.model.dModel;

/** Queries, keys and values of the query layer's attention for an input, [T, 3 d]. */
function queriesKeysValues(store: ParameterStore, x: Float32Array): number[][] {
  const { operation } = describe(config).blocks[0];
  if (operation.op !== 'attention') throw new Error(operation.op);
  let rowsTC: number[][] = [];
  tf.tidy(() => {
    const xTD = tf.tensor2d(x, [2 * seqLen, d]);
    attention(operation, store, xTD, { numSequences: 2, seqLen }, (qkvTC) => {
      rowsTC = qkvTC.arraySync();
    });
  });
  return rowsTC;
}

it('the queries of the query layer come from the position alone', () => {
  const store = new ParameterStore(allSpecs(config), 1);
  const [first, other] = ['x', 'y'].map((name) =>
    queriesKeysValues(store, randomValues(name, 2 * seqLen * d)),
  );
  const queries = first.map((row) => row.slice(0, d));
  expect(other.map((row) => row.slice(0, d))).toEqual(queries);
  expect(queries.slice(seqLen)).toEqual(queries.slice(0, seqLen));
  expect(new Set(queries.map(String)).size).toBe(seqLen);
  first.forEach((row, t) => {
    row.slice(d).forEach((value, i) => {
      expect(other[t][d + i]).not.toBe(value);
    });
  });
  store.dispose();
});
