import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { fusedOp } from '../../../../src/ops/autograd.js';
import { compiled, fixedShapes } from '../../../../src/ops/kernels/tensorflow/compiled.js';
import { nodeBackend, withBinding } from '../../../../src/ops/node-backend.js';
import { expectClose, randomValues } from '../../../model/support.js';

/**
 * Softmax-like weights times table rows, and the greatest index: covers reductions, products, constants and integers.
 */
function compute(x: tf.Tensor, table: tf.Tensor, ids: tf.Tensor): tf.Tensor[] {
  const weights = tf.exp(tf.sub(x, tf.max(x, -1, true)));
  const rows = tf.gather(table, ids as tf.Tensor1D);
  const product = tf.matMul(tf.div(weights, tf.sum(weights, -1, true)) as tf.Tensor2D, rows as tf.Tensor2D);
  return [tf.add(product, tf.tensor1d([1, -2, 0.5])), tf.transpose(tf.mul(x, 3)), tf.add(ids, 7)];
}

function inputs(rows: number): tf.Tensor[] {
  return [
    tf.tensor2d(randomValues('x', rows * 4), [rows, 4]),
    tf.tensor2d(randomValues('table', 15), [5, 3]),
    tf.tensor1d([4, 0, 2, 2], 'int32'),
  ];
}

describe('compiled', () => {
  it('gives what the function gives, in value, shape and type', () => {
    tf.tidy(() => {
      for (const rows of [1, 2, 40]) {
        const [actual, expected] = [
          compiled('test: values', inputs(rows), compute),
          compute(...(inputs(rows) as [tf.Tensor, tf.Tensor, tf.Tensor])),
        ];
        expect(actual.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(
          expected.map(({ shape, dtype }) => ({ shape, dtype })),
        );
        for (const [i, tensor] of actual.entries())
          expectClose(tensor.dataSync(), expected[i].dataSync(), 1e-5);
      }
    });
  });

  it('asks the function once for each shape, and takes new elements every time', () => {
    let calls = 0;
    const twice = (x: tf.Tensor) => {
      calls++;
      return [tf.mul(x, 2)];
    };
    const run = (values: number[]) =>
      tf.tidy(() => [...compiled('test: calls', [tf.tensor1d(values)], twice)[0].dataSync()]);
    expect([run([1, 2]), run([5, 6]), run([7, 8, 9]), run([0, 3])]).toEqual([
      [2, 4],
      [10, 12],
      [14, 16, 18],
      [0, 6],
    ]);
    expect(calls).toBe(2);
  });

  it('never takes one function for another, whatever their names', () => {
    const run = (factor: number) =>
      tf.tidy(() =>
        compiled('test: same name', [tf.tensor1d([1, 2])], (x) => [tf.mul(x, factor)])[0].dataSync(),
      );
    expect([...run(2)]).toEqual([2, 4]);
    expect([...run(3)]).toEqual([3, 6]);
  });

  it('compiles the same graph once, whatever function it comes from', () => {
    const { binding } = nodeBackend();
    let loads = 0;
    const loadSavedModel = (folder: string, tags: string) => {
      loads++;
      return binding.loadSavedModel(folder, tags);
    };
    const run = () => tf.tidy(() => void compiled('test: once', [tf.tensor1d([1])], (x) => [tf.add(x, 41)]));
    withBinding({ loadSavedModel }, () => {
      run();
      run();
    });
    expect(loads).toBe(1);
  });

  it('keeps no tensor and leaves no file', () => {
    // Vitest's own TMPDIR may hold folders of other tests.
    const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-test-'));
    const before = process.env.TMPDIR;
    process.env.TMPDIR = folder;
    const numTensors = tf.memory().numTensors;
    for (let i = 0; i < 3; i++) tf.tidy(() => void compiled('test: files', inputs(3), compute));
    process.env.TMPDIR = before;
    if (before === undefined) delete process.env.TMPDIR;
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('says which function uses a tensor of the outside, and leaves TensorFlow as it was', () => {
    const outside = tf.scalar(3);
    outside.dataSync();
    tf.add(outside, 1).dispose();
    const { binding } = nodeBackend();
    expect(() =>
      tf.tidy(() => compiled('test: outside', [tf.tensor1d([1])], (x) => [tf.mul(x, outside)])),
    ).toThrow('compiled function test: outside uses a tensor of the outside');
    expect(nodeBackend().binding).toBe(binding);
    expect(tf.tidy(() => [...tf.mul(tf.tensor1d([2]), outside).dataSync()])).toEqual([6]);
    outside.dispose();
  });

  it('says which attribute it cannot take over', () => {
    expect(() =>
      tf.tidy(() =>
        compiled('test: attribute', [tf.tensor4d(new Float32Array(16), [1, 4, 4, 1])], (x) => [
          tf.maxPool(x as tf.Tensor4D, 2, 2, 'valid'),
        ]),
      ),
    ).toThrow(/compiled function test: attribute: unknown kind of attribute \w+/);
  });

  it('is compiled by XLA', () => {
    const program = fileURLToPath(new URL('compiled.program.ts', import.meta.url));
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--conditions=source', '--import', 'tsx', program],
      {
        env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '0' },
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    expect(status, stderr).toBe(0);
    expect(stderr).toContain('Compiled cluster using XLA');
  });

  it('is for gradients: a fused operation without one runs its parts as they are', () => {
    let computed = 0;
    const compute = (y: tf.Tensor) => {
      computed++;
      return [tf.square(y)];
    };
    const square = (x: tf.Tensor) =>
      fusedOp<tf.Tensor>([x], () => ({
        value: fixedShapes()('test: square', [x], compute)[0],
        saved: [x],
        backward: (dy, [y]) => [tf.mul(dy, tf.mul(y, 2))],
      }));
    tf.tidy(() => {
      const x = tf.tensor1d([3]);
      for (let i = 0; i < 3; i++) expect(square(x).dataSync()[0]).toBe(9);
      expect(computed).toBe(3);
      for (let i = 0; i < 3; i++) expect(tf.grad(square)(x).dataSync()[0]).toBe(6);
      expect(computed).toBe(4);
    });
  });
});
