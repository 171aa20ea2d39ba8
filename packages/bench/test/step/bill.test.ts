import { tensorflowKernels } from 'locmoe/internal/ops/kernels/tensorflow/tensorflow-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { expect, it, onTestFinished, vi } from 'vitest';
import { billOf } from '../../src/step/bill/bill.js';
import { recordedKernels } from '../../src/step/bill/recorded-kernels.js';
import { Recorder } from '../../src/step/bill/recorder.js';

const NOTHING = () => ({ flops: 0, bytes: 0 });

it('an operation is not charged for what it calls', () => {
  let clock = 0;
  const now = vi.spyOn(performance, 'now').mockImplementation(() => clock);
  onTestFinished(() => now.mockRestore());
  const busy = (ms: number) => () => {
    clock += ms;
  };
  const recorder = new Recorder();
  recorder.time('outer', NOTHING, () => {
    busy(4)();
    for (let i = 0; i < 2; i++) recorder.time('inner', () => ({ flops: 3, bytes: 5 }), busy(10));
  });
  expect(recorder.take()).toEqual([
    { operation: 'inner', calls: 2, ms: 20, flops: 6, bytes: 10 },
    { operation: 'outer', calls: 1, ms: 4, flops: 0, bytes: 0 },
  ]);
  expect(recorder.take()).toEqual([]);
});

it('kernels compute the same while they are recorded, forward and backward', () => {
  const recorder = new Recorder();
  const recorded = recordedKernels(tensorflowKernels, recorder);
  tf.tidy(() => {
    const [x, w, dy] = [
      [2, 3],
      [3, 4],
      [2, 4],
    ].map(([rows, columns]) => tf.randomNormal([rows!, columns!])) as tf.Tensor2D[];
    const resultsOf = (kernels: typeof recorded) => {
      const { value, saved, backward } = kernels.matMul(x!, w!, true);
      return [value, ...backward(dy!.clone(), saved)].map((each) => each!.arraySync());
    };
    expect(resultsOf(recorded)).toEqual(resultsOf(tensorflowKernels));
  });
  expect(recorder.take().map(({ operation, calls, flops }) => ({ operation, calls, flops }))).toEqual([
    { operation: 'matMul 3 x 4', calls: 1, flops: 48 },
    { operation: 'matMul 3 x 4, backward', calls: 1, flops: 96 },
  ]);
});

it('a bill adds up to the step, over ranks that did not all do the same', () => {
  const partsMs = { forward: 30, backward: 50, exchange: 4, allReduce: 3, optimizer: 2, waiting: 1 };
  const limits = { flopPerS: 2e9, bytesPerS: 1e9 };
  const product = { operation: 'matMul', calls: 2, ms: 40, flops: 6e7, bytes: 8e6 };
  const sum = { operation: 'add', calls: 1, ms: 20, flops: 0, bytes: 5e6 };
  const bill = billOf('small', [
    { stepMs: 100, partsMs, rows: [product, sum], gcMs: 2, limits },
    { stepMs: 100, partsMs, rows: [product], gcMs: 0, limits },
  ]);
  expect(bill.lines.reduce((total, { ms }) => total + ms, 0)).toBeCloseTo(100);
  expect(bill.lines.slice(0, 2)).toMatchObject([
    { operation: 'matMul', calls: 2, ms: 40, limitMs: 30 },
    { operation: expect.stringMatching(/^beside all/), ms: 40, limitMs: null },
  ]);
  expect(bill.lines.find(({ operation }) => operation === 'add')).toMatchObject({ ms: 10, limitMs: 2.5 });
  expect(bill.gcMs).toBe(1);
});
