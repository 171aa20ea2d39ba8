import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { onGradient } from '../../src/ops/autograd.js';
import { matMul } from '../../src/ops/operations.js';
import { type ParameterSpec, ParameterStore } from '../../src/parameters/parameters.js';

function spec(name: string, shape: readonly number[], placement: 'shared' | 'expert'): ParameterSpec {
  return { name, shape, placement, init: { kind: 'normal', std: 1 }, decay: true };
}

const specs: ParameterSpec[] = [
  spec('a', [2, 3], 'shared'),
  spec('e', [2], 'expert'),
  { ...spec('b', [4], 'shared'), init: { kind: 'constant', value: 5 } },
];

it('lays parameters out by placement in the order of the specs', () => {
  const store = new ParameterStore(specs, 1);
  expect(store.shared.ranges.map(({ name, begin, end }) => [name, begin, end])).toEqual([
    ['a', 0, 6],
    ['b', 6, 10],
  ]);
  expect(store.expert.ranges.map(({ name, begin, end }) => [name, begin, end])).toEqual([['e', 0, 2]]);
  expect([...store.values('b')]).toEqual([5, 5, 5, 5]);
  expect(store.get('a').dataSync()).toEqual(store.values('a'));
  store.dispose();
});

it('starts a parameter alike whatever is declared beside it', () => {
  const all = new ParameterStore(specs, 1);
  const alone = new ParameterStore([specs[1]], 1);
  const otherSeed = new ParameterStore([specs[1]], 2);
  expect(alone.values('e')).toEqual(all.values('e'));
  expect(otherSeed.values('e')).not.toEqual(all.values('e'));
  for (const store of [all, alone, otherSeed]) store.dispose();
});

it('pulls gradients, zeros where the loss does not depend on a parameter', () => {
  const store = new ParameterStore(specs, 1);
  store.expert.gradients.fill(9);
  const value = store.computeGradients(() => tf.sum(tf.mul(store.get('a'), 2)).add(tf.sum(store.get('b'))));
  expect([...store.shared.gradients]).toEqual([2, 2, 2, 2, 2, 2, 1, 1, 1, 1]);
  expect([...store.expert.gradients]).toEqual([0, 0]);
  expect(value).toBeCloseTo(20 + 2 * store.values('a').reduce((sum, x) => sum + x, 0), 4);
  store.dispose();
});

it('adds to the gradients of the micro-batch before', () => {
  const store = new ParameterStore(specs, 1);
  store.shared.gradients.fill(9);
  store.computeGradients(() => tf.add(tf.sum(store.get('a')), tf.sum(tf.mul(store.get('e'), 3))));
  // The loss does not depend on `e`, whose gradient stays.
  store.computeGradients(() => tf.add(tf.sum(store.get('a')), tf.sum(store.get('b'))), true);
  expect([...store.shared.gradients]).toEqual([2, 2, 2, 2, 2, 2, 1, 1, 1, 1]);
  expect([...store.expert.gradients]).toEqual([3, 3]);
  store.dispose();
});

it.each([
  ['used once', 1],
  ['used twice', 2],
])('has the gradients of a product with a matrix that is %s, also of several micro-batches', (_, uses) => {
  const store = new ParameterStore([spec('w', [3, 3], 'shared'), spec('other', [3, 3], 'expert')], 1);
  const xs = [1, 2].map((seed) => tf.randomNormal<tf.Rank.R2>([4, 3], 0, 1, 'float32', seed));
  const lossOf = (x: tf.Tensor2D) => () => {
    let y = matMul(x, store.get('other') as tf.Tensor2D);
    for (let use = 0; use < uses; use++) y = matMul(y, store.get('w') as tf.Tensor2D);
    return tf.sum(tf.square(y)) as tf.Scalar;
  };
  const gradientsOf = (batches: readonly tf.Tensor2D[]) => {
    batches.forEach((x, i) => void store.computeGradients(lossOf(x), i > 0));
    return [store.shared, store.expert].map(({ gradients }) => Float64Array.from(gradients));
  };
  const each = xs.map((x) => gradientsOf([x]));
  const both = gradientsOf(xs);
  both.forEach((gradients, group) => {
    gradients.forEach((gradient, i) => {
      expect(gradient).toBeCloseTo(each[0][group][i] + each[1][group][i], 3);
    });
  });
  // Gradients of the whole batch, with a single product for each matrix.
  const whole = gradientsOf([tf.concat(xs, 0)]);
  whole.forEach((gradients, group) => {
    gradients.forEach((gradient, i) => {
      expect(gradient / both[group][i]).toBeCloseTo(1, 3);
    });
  });
  store.dispose();
});

it('has the gradients of upper layers while the backward pass is below them', () => {
  const store = new ParameterStore([spec('lower', [4, 4], 'shared'), spec('upper', [4, 4], 'shared')], 1);
  const wholeFrom: number[] = [];
  store.computeGradients(() => {
    const y = matMul(tf.ones([2, 4]), store.get('lower') as tf.Tensor2D);
    const between = onGradient(y, () => {
      wholeFrom.push(store.gradientsWholeFrom);
      expect(store.shared.gradients.subarray(16).every((value) => value !== 0)).toBe(true);
    });
    return tf.sum(matMul(between, store.get('upper') as tf.Tensor2D));
  });
  expect([...wholeFrom, store.gradientsWholeFrom]).toEqual([16, 0]);
  store.dispose();
});

it('pushes changed values into the tensors', () => {
  const store = new ParameterStore(specs, 1);
  store.shared.values.fill(3);
  store.pushValues();
  expect([...store.get('a').dataSync()]).toEqual([3, 3, 3, 3, 3, 3]);
  store.dispose();
});

it('frees its tensors', () => {
  const before = tf.memory().numTensors;
  new ParameterStore(specs, 1).dispose();
  expect(tf.memory().numTensors).toBe(before);
});

it('refuses a name twice and an unknown name', () => {
  const store = new ParameterStore(specs, 1);
  expect(() => store.get('nobody')).toThrow(/nobody/);
  expect(() => new ParameterStore([specs[0], specs[0]], 1)).toThrow(/declared twice/);
  store.dispose();
});

// A device gives many gradients at once, and holds them until then.
it.skipIf(process.env.LOCMOE_KERNELS === 'webgpu')(
  'frees the gradient of a parameter once it is copied',
  () => {
    /**
     * Number of tensors that gradients added by the time the backward pass reached the lowest of `numMatrices` matrices.
     */
    const added = (numMatrices: number) => {
      const names = Array.from({ length: numMatrices }, (_, i) => `w${i}`);
      const store = new ParameterStore(
        names.map((name) => spec(name, [4, 4], 'shared')),
        1,
      );
      let [before, alive] = [0, 0];
      store.computeGradients(() => {
        before = tf.memory().numTensors;
        let y: tf.Tensor2D = onGradient(tf.ones([2, 4]).mul(store.get('w0').sum()) as tf.Tensor2D, () => {
          alive = tf.memory().numTensors;
        });
        for (const name of names.slice(1)) y = matMul(y, store.get(name) as tf.Tensor2D);
        return tf.sum(y);
      });
      store.dispose();
      return alive - before;
    };
    expect(added(7)).toBe(added(3));
  },
);
