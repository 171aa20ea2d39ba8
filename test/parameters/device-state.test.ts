import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { nodeBackend, withBinding } from '../../src/ops/node-backend.js';
import { matMul } from '../../src/ops/operations.js';
import { type ParameterSpec, ParameterStore } from '../../src/parameters/parameters.js';
import { adamW, adamWNumbers } from '../../src/worker/optimizer.js';
import { expectClose } from '../model/support.js';
import { withWebGpu } from '../with-webgpu.js';

const SPECS: readonly ParameterSpec[] = (
  [
    ['w', 'shared'],
    ['unused', 'shared'],
    ['expert', 'expert'],
  ] as const
).map(([name, placement]) => ({
  name,
  shape: [3, 3],
  placement,
  init: { kind: 'normal', std: 1 },
  decay: name !== 'w',
}));

const OPTIONS = {
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.2,
  gradientScale: 0.5,
};

/** Computes the gradients of two micro-batches, in which one matrix is used twice. */
function differentiate(store: ParameterStore): void {
  for (const batch of [1, 2])
    store.computeGradients(() => {
      const x = tf.randomNormal<tf.Rank.R2>([4, 3], 0, 1, 'float32', batch);
      const [w, expert] = ['w', 'expert'].map((name) => store.get(name) as tf.Tensor2D);
      return tf.sum(tf.square(matMul(matMul(matMul(x, w), expert), store.get('w') as tf.Tensor2D)));
    }, batch > 1);
}

const arraysOf = (store: ParameterStore) =>
  [store.shared, store.expert].flatMap(({ values, m, v }) => [values, m, v].map((array) => array.slice()));

withWebGpu('parameters that stay on a device', () => {
  it('are updated there as the flat arrays are', () => {
    const [host, device] = [new ParameterStore(SPECS, 1), new ParameterStore(SPECS, 1)];
    for (const store of [host, device]) store.shared.m.fill(0.1);
    device.stayOnDevice();
    const state = device.onDevice!;
    for (let step = 1; step <= 3; step++) {
      const options = { ...OPTIONS, step };
      for (const store of [host, device]) differentiate(store);
      const squares = [host.shared, host.expert].flatMap(({ gradients }) => [...gradients]).map((x) => x * x);
      expect(state.squaredNorm() / squares.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 4);
      for (const { flat, trained } of [host.shared, host.expert]) adamW({ flat, ranges: trained }, options);
      host.pushValues();
      const before = device.shared.values.slice();
      state.update(({ decay }) => adamWNumbers(options, decay));
      // The flat arrays follow once they are asked for.
      expect(device.shared.values).toEqual(before);
      if (step === 2) continue;
      state.read();
      arraysOf(device).forEach((array, i) => void expectClose(array, arraysOf(host)[i], 1e-4));
      expectClose(device.get('w').dataSync(), host.get('w').dataSync(), 1e-4);
    }
    for (const store of [host, device]) store.dispose();
  });

  it('leave gradients there, which can be read until the next step or the update', () => {
    const [host, device] = [new ParameterStore(SPECS, 1), new ParameterStore(SPECS, 1)];
    device.stayOnDevice();
    const gradientsOf = (store: ParameterStore) => [...store.entries()].map(({ gradients }) => gradients);
    for (const store of [host, device]) differentiate(store);
    gradientsOf(device).forEach((gradient, i) => void expectClose(gradient, gradientsOf(host)[i], 1e-4));
    device.onDevice!.update(() => adamWNumbers({ ...OPTIONS, step: 1 }, false));
    expect(gradientsOf(device).flatMap((gradient) => [...gradient])).toEqual(new Array(27).fill(0));
    expectClose(device.values('w'), device.get('w').dataSync(), 0);
    expect(device.values('w')).not.toEqual(host.values('w'));
    for (const store of [host, device]) store.dispose();
  });

  it('are frozen, adapted and go on from moments as on the host', () => {
    const isFrozen = ({ name }: ParameterSpec) => name === 'w';
    const stores = [0, 1].map(() => new ParameterStore(SPECS, 1, null, isFrozen));
    const [host, device] = stores;
    const frozen = host.values('w').slice();
    for (const { shared, expert } of stores) for (const { v } of [shared, expert]) v.fill(0.3);
    device.stayOnDevice();
    for (const store of stores) differentiate(store);
    const options = { ...OPTIONS, step: 9 };
    for (const { flat, trained } of [host.shared, host.expert]) adamW({ flat, ranges: trained }, options);
    device.onDevice!.update(({ decay }) => adamWNumbers(options, decay));
    device.onDevice!.read();
    arraysOf(device).forEach((array, i) => void expectClose(array, arraysOf(host)[i], 1e-4));
    expect(device.values('w')).toEqual(frozen);
    for (const store of stores) store.dispose();
  });

  it('leave no copies in TensorFlow, whose operations may read them in each step', () => {
    const store = new ParameterStore(SPECS, 1);
    store.stayOnDevice();
    let alive = 0;
    const step = () => {
      store.computeGradients(() => tf.sum(tf.square(store.get('w'))));
      store.onDevice!.update(() => adamWNumbers({ ...OPTIONS, step: 1 }, false));
    };
    step();
    const { binding } = nodeBackend();
    withBinding(
      {
        createTensor: (...args) => {
          alive++;
          return binding.createTensor(...args);
        },
        deleteTensor: (id) => {
          alive--;
          binding.deleteTensor(id);
        },
        executeOp: (...args) => {
          const made = binding.executeOp(...args);
          alive += made.length;
          return made;
        },
      },
      () => {
        step();
        const afterOne = alive;
        for (let i = 0; i < 5; i++) step();
        expect(alive).toBe(afterOne);
      },
    );
    store.dispose();
  });

  it('have a gradient that is not a number where a test asks for it', () => {
    const store = new ParameterStore(SPECS, 1);
    store.stayOnDevice();
    differentiate(store);
    store.spoilGradient(null);
    expect(store.onDevice!.squaredNorm()).toBeNaN();
    expect([...store.entries()].map(({ gradients }) => gradients.every(Number.isFinite))).toEqual([
      true,
      true,
      false,
    ]);
    store.dispose();
  });

  it('are not replaced by values that were read before an update', () => {
    const store = new ParameterStore(SPECS, 1);
    store.stayOnDevice();
    differentiate(store);
    store.onDevice!.update(() => adamWNumbers({ ...OPTIONS, step: 1 }, false));
    expect(() => store.pushValues()).toThrow('the device has newer parameters');
    store.values('w').fill(2);
    store.pushValues();
    expect(store.get('w').dataSync()[0]).toBe(2);
    store.dispose();
  });

  it('are freed with the store', () => {
    const before = tf.memory().numTensors;
    const store = new ParameterStore(SPECS, 1);
    store.stayOnDevice();
    differentiate(store);
    store.onDevice!.update(() => adamWNumbers({ ...OPTIONS, step: 1 }, false));
    differentiate(store);
    store.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('are none where only some experts are updated', () => {
    const store = new ParameterStore(SPECS, 1, { budgetBytes: Infinity, storage: null });
    store.stayOnDevice();
    expect(store.onDevice).toBeNull();
    store.dispose();
  });
});
