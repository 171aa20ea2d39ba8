import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { findWebGpu } from '../../../../scripts/webgpu.mjs';
import type { AttentionShape, Kernels } from '../../../../src/ops/kernels/kernels.js';
import { tensorflowKernels } from '../../../../src/ops/kernels/tensorflow/tensorflow-kernels.js';
import { READ_BYTES } from '../../../../src/ops/kernels/webgpu/commands.js';
import { DeviceMemory } from '../../../../src/ops/kernels/webgpu/device-memory.js';
import { openDevice } from '../../../../src/ops/kernels/webgpu/open-device.js';
import {
  matrixOf,
  measureSpeed,
  product,
  productOf,
  transposed,
} from '../../../../src/ops/kernels/webgpu/products.js';
import { assertComputesRight } from '../../../../src/ops/kernels/webgpu/self-test.js';
import { webGpuKernels } from '../../../../src/ops/kernels/webgpu/webgpu-kernels.js';
import type { StateArrays } from '../../../../src/parameters/parameter-group.js';
import { FlatArrays } from '../../../../src/simd/index.js';
import { adamW, adamWNumbers } from '../../../../src/worker/optimizer.js';
import { expectClose, positionsOf, randomIntegers, randomValues } from '../../../model/support.js';
import { withWebGpu } from '../../../with-webgpu.js';

// The tests of test/ops run on these kernels as well (vitest.config.ts): each operation against a loop, and its gradients against
// finite differences. Here is what only larger sizes show.

withWebGpu('the kernels of WebGPU', () => {
  const device = openDevice(findWebGpu()!);
  const kernels = webGpuKernels(device);
  const random = (name: string, rows: number, columns: number) =>
    tf.tensor2d(randomValues(name, rows * columns), [rows, columns]);

  const expectAttention = (qkv: tf.Tensor2D, dy: tf.Tensor, shape: AttentionShape) => {
    const [own, reference] = [kernels, tensorflowKernels].map((each) => {
      const { value, saved, backward } = each.causalAttention(qkv, shape);
      return [value, ...backward(dy, saved)].map((tensor) => tensor!.dataSync().slice());
    });
    own.forEach((values, i) => {
      expectClose(values, reference[i], 1e-4);
    });
  };

  it('multiply matrices of any size, transposed or not, from any row on, also onto a sum', () => {
    const memory = new DeviceMemory(device);
    for (let i = 0; i < 24; i++) {
      const [rows, inner, columns, skipped] = randomIntegers(`case ${i}`, 4, 150).map((size) => size + 1);
      const a = random(`a ${i}`, rows + skipped, inner);
      const b = random(`b ${i}`, inner, columns);
      const sum = randomValues(`c ${i}`, rows * columns);
      const ofA = { buffer: memory.bufferOf(a), rows, columns: inner, begin: skipped * inner };
      const ofB = { buffer: memory.bufferOf(b), rows: inner, columns };
      // A transpose of a copy that is stored transposed is the same matrix.
      const stored = tf.transpose(b);
      const turned = transposed({ buffer: memory.bufferOf(stored), rows: columns, columns: inner });
      const c = device.upload(sum);
      product(memory, ofA, i % 2 === 0 ? ofB : turned, c, { accumulates: i % 3 === 0 });
      const expected = tf.matMul(tf.slice(a, skipped), b).dataSync().slice();
      if (i % 3 === 0) for (const [at, value] of sum.entries()) expected[at] += value;
      expectClose(device.read(c, rows * columns), expected, 1e-4);
      device.free(c);
    }
  });

  it('read what is deferred with the next value that is needed, or at the end', () => {
    const numBuffers = device.numBuffers;
    const reads = kernels.deferredReads();
    const read: number[][] = [];
    const use = (values: Float32Array) => void read.push([...values]);
    const rowOf = (x: number) => kernels.sliceRows(tf.tensor2d([0, 0, x + 1, x + 2], [2, 2]), 1, 1);
    const rows = tf.tidy(() => {
      for (const x of [1, 3]) reads.add(rowOf(x), use);
      expect(read).toEqual([]);
      expect([...rowOf(5).dataSync()]).toEqual([6, 7]);
      expect(read).toEqual([
        [2, 3],
        [4, 5],
      ]);
      reads.add(tf.tensor1d([9]), use);
      expect(read.at(-1)).toEqual([9]);
      reads.add(rowOf(10), use);
      reads.add(rowOf(20), use);
      return [rowOf(30), rowOf(40)];
    });
    reads.finish();
    expect(read.slice(3)).toEqual([
      [11, 12],
      [21, 22],
    ]);
    for (const each of rows) reads.add(each, use);
    reads.drop();
    reads.finish();
    expect(read).toHaveLength(5);
    tf.dispose(rows);
    expect(device.numBuffers).toBe(numBuffers);
  });

  it('hold at most as much of what is deferred as is read at a time', () => {
    const reads = kernels.deferredReads();
    const lengths: number[] = [];
    tf.tidy(() => {
      const half = kernels.sliceRows(tf.ones([READ_BYTES / 8, 1]), 0, READ_BYTES / 8);
      reads.add(half, ({ length }) => void lengths.push(length));
      expect(lengths).toEqual([]);
      reads.add(half, ({ length }) => void lengths.push(length));
      expect(lengths).toEqual([READ_BYTES / 8, READ_BYTES / 8]);
    });
  });

  it('give a row the same bits among any others', () => {
    const [x, w] = [random('x', 200, 90), random('w', 90, 70)];
    const all = kernels.matMul(x, w, false).value.dataSync();
    const some = kernels.matMul(tf.slice(x, 77, 5), w, false).value.dataSync();
    expect([...some]).toEqual([...all.subarray(77 * 70, 82 * 70)]);
    expect([...kernels.hostRowsProduct(x.dataSync<'float32'>().slice(90, 180), 1, w)]).toEqual([
      ...all.subarray(70, 140),
    ]);
  });

  it('attend within segments that end in the middle of blocks, with shared keys and values', () => {
    const shape = {
      numSequences: 2,
      seqLen: 150,
      numHeads: 4,
      numKeyValueHeads: 2,
      positionsT: positionsOf([10, 90, 50], [70, 80]),
    };
    const [qkv, dy] = [random('qkv', 300, 8 * 12), random('dy', 300, 4 * 12)];
    expectAttention(qkv, dy, shape);
  });

  it('compute the loss of logits that are far apart', () => {
    const x = tf.tensor2d([[300, 0]]);
    const embedding = tf.tensor2d([
      [1, 0],
      [-1, 0],
    ]);
    const { value } = kernels.tiedCrossEntropy(x, embedding, Int32Array.of(1));
    expectClose(value.dataSync(), [600], 1e-6);
  });

  it('update parameters as the loop of the processor does', () => {
    const options = {
      step: 3,
      learningRate: 0.01,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0.1,
      gradientScale: 0.7,
    };
    // The moments of the last element become denormal, and so zero.
    for (const [length, hasGradient] of [
      [5, true],
      [1000, true],
      [70_001, true],
      [300, false],
    ] as const) {
      const flat = new FlatArrays<StateArrays>(length, 4, true);
      const [values, gradients, m, v] = flat.arrays;
      for (const [i, array] of [values, m, v].entries()) array.set(randomValues(`${length} ${i}`, length));
      if (hasGradient) gradients.set(randomValues(`${length} gradient`, length));
      for (const i of v.keys()) v[i] **= 2;
      [gradients[length - 1], m[length - 1], v[length - 1]] = [0, 1.2e-38, 1.2e-38];
      const [value, gradient, ofM, ofV] = flat.arrays.map((array) => tf.tensor1d(array.slice()));
      const norm = kernels.updates!.squaredNorm([gradient, ofM, value]);
      const squares = [gradients, m, values]
        .flatMap((array) => [...array])
        .reduce((sum, x) => sum + x * x, 0);
      expect(norm / squares).toBeCloseTo(1, 5);
      kernels.updates!.adamW(
        { value, gradient: hasGradient ? gradient : null, m: ofM, v: ofV },
        adamWNumbers(options, true),
      );
      adamW({ flat, ranges: [{ begin: 0, end: length, decay: true }] }, options);
      for (const [tensor, expected] of [
        [value, values],
        [ofM, m],
        [ofV, v],
      ] as const)
        expectClose(tensor.dataSync(), expected, 1e-5);
      expect([ofM, ofV].map((tensor) => tensor.dataSync()[length - 1])).toEqual([0, 0]);
    }
  });

  it('pass the test of themselves, and others that compute wrong do not', () => {
    assertComputesRight(kernels, tensorflowKernels);
    const wrong: Kernels = {
      ...kernels,
      layerNorm: (...inputs) => {
        const right = kernels.layerNorm(...inputs);
        return {
          ...right,
          backward: (...args) => right.backward(...args).map((each) => tf.mul(each!, 1.01)),
        };
      },
    };
    expect(() => assertComputesRight(wrong, tensorflowKernels)).toThrow(
      /computes the gradient of layer norm wrong; update its driver, or use train\.device cpu$/,
    );
  });

  it('give memory back with their tensors', () => {
    const memory = new DeviceMemory(device);
    const before = device.numBuffers;
    tf.tidy(() => {
      const matrix = matrixOf(memory, random('x', 3, 4));
      for (let i = 0; i < 3; i++) productOf(memory, matrix, transposed(matrix));
      expect(device.numBuffers).toBe(before + 4);
    });
    expect(device.numBuffers).toBe(before);
  });

  it('attend with heads of 128', () => {
    const size = 128;
    const shape = { numSequences: 1, seqLen: 20, numHeads: 1 };
    const [qkv, dy] = [random('qkv', 20, 3 * size), random('dy', 20, size)];
    expectAttention(qkv, dy, shape);
  });

  it('are measured', () => {
    expect(measureSpeed(device)).toBeGreaterThan(1e7);
  });
});
