import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { TensorMemory } from '../../../../src/ops/kernels/onednn/tensor-memory.js';

it('gives a tensor memory until it and its clones are disposed of', () => {
  const memory = new TensorMemory();
  const { tensor, values } = memory.create([100, 20]);
  values.fill(3);
  const clone = tensor.clone();
  tensor.dispose();
  expect(memory.usedBytes).toBeGreaterThanOrEqual(8000);
  expect(clone.dataSync().every((value) => value === 3)).toBe(true);
  clone.dispose();
  expect(memory.usedBytes).toBe(0);
});

it('frees what a tidy leaves, and scratch at the end of its use, also of one that throws', () => {
  const memory = new TensorMemory();
  tf.tidy(() => void memory.create([1000]));
  expect(memory.usedBytes).toBe(0);
  expect(() =>
    memory.borrow([1000], 'bfloat16', () => {
      expect(memory.usedBytes).toBeGreaterThan(0);
      throw new Error('in between');
    }),
  ).toThrow('in between');
  expect(memory.usedBytes).toBe(0);
});

it("lets TensorFlow's own operations read a tensor", () => {
  const memory = new TensorMemory();
  const { tensor, values } = memory.create([3]);
  values.set([1, 2, 3]);
  expect(tf.tidy(() => [...tf.square(tensor).dataSync()])).toEqual([1, 4, 9]);
  tensor.dispose();
  expect(memory.usedBytes).toBe(0);
});
