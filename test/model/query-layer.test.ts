import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { familyOf } from '../../src/model/family.js';
import { queryAttention, queryLayerSpecs } from '../../src/model/query-layer.js';
import { feedForwardHalf } from '../../src/model/transformer-block.js';
import { ParameterStore } from '../../src/parameters/parameters.js';
import { randomValues, tinyConfig } from './support.js';

const shape = { numSequences: 2, seqLen: 5, numHeads: 2 };
const d = 8;
const family = familyOf(tinyConfig());
const rows = shape.numSequences * shape.seqLen;

function build(): ParameterStore {
  const size = { dModel: d, dFeedForward: 16, numLayers: 1, family };
  const store = new ParameterStore(queryLayerSpecs('query', size, shape.seqLen), 1);
  for (const { name, begin, end } of store.shared.ranges)
    store.shared.values.set(randomValues(name, end - begin, 0.5), begin);
  store.pushValues();
  return store;
}

function run(store: ParameterStore, x: Float32Array): Float32Array {
  return tf.tidy(() =>
    feedForwardHalf(family, store, 'query', queryAttention(store, 'query', tf.tensor2d(x, [rows, d]), shape))
      .dataSync<'float32'>()
      .slice(),
  );
}

it('the queries of the query layer come from the position alone', () => {
  const store = build();
  // With keys that do not depend on the input, attention cannot either; the values still do.
  store.values('query.ln_attn.gain').fill(0);
  store.values('query.ffn.w_out').fill(0);
  store.pushValues();
  const x = randomValues('x', rows * d);
  const added = run(store, x).map((value, i) => value - x[i]);
  const other = run(
    store,
    x.map((value) => -2 * value),
  ).map((value, i) => value + 2 * x[i]);
  added.forEach((value, i) => {
    expect(value).toBeCloseTo(other[i], 4);
  });
  store.dispose();
});
