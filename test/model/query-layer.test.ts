import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { attention, normalised } from '../../src/model/blocks.js';
import { describe } from '../../src/model/describe.js';
import { allSpecs } from '../../src/model/specs.js';
import { ParameterStore } from '../../src/parameters/parameters.js';
import { randomValues, tinyConfig } from './support.js';

const config = tinyConfig({ model: { numDenseLayers: 0, numSparseLayers: 0 } });
const sequences = { numSequences: 2, seqLen: 5 };
const d = config.model.dModel;
const rows = sequences.numSequences * sequences.seqLen;

function build(): ParameterStore {
  const store = new ParameterStore(allSpecs(config), 1);
  for (const { name, begin, end } of store.shared.ranges)
    store.shared.values.set(randomValues(name, end - begin, 0.5), begin);
  store.pushValues();
  return store;
}

/** What the query layer's attention adds to x. */
function run(store: ParameterStore, x: Float32Array): Float32Array {
  const { norm, operation } = describe(config).blocks[0];
  if (operation.op !== 'attention') throw new Error(operation.op);
  return tf.tidy(() =>
    attention(operation, store, normalised(norm, store, tf.tensor2d(x, [rows, d])), sequences)
      .dataSync<'float32'>()
      .slice(),
  );
}

it('the queries of the query layer come from the position alone', () => {
  const store = build();
  // With keys that do not depend on the input, attention cannot either; the values still do.
  store.values('query.ln_attn.gain').fill(0);
  store.pushValues();
  const x = randomValues('x', rows * d);
  const added = run(store, x);
  const other = run(
    store,
    x.map((value) => -2 * value),
  );
  added.forEach((value, i) => {
    expect(value).toBeCloseTo(other[i], 4);
  });
  store.dispose();
});
