import { afterAll, describe, expect, it } from 'vitest';
import { findWebGpu } from '../../../../scripts/webgpu.mjs';
import { openDevice } from '../../../../src/ops/kernels/webgpu/open-device.js';
import { elementwise } from '../../../../src/ops/kernels/webgpu/shaders.js';
import { withWebGpu } from '../../../with-webgpu.js';

const DOUBLE = elementwise('double', ['x', 'out y'], 'y[i] = 2 * x[i];');
const WRONG = elementwise('wrong', ['x', 'out y'], 'y[i] = nothing[i];');

withWebGpu('a device', () => {
  const device = openDevice(findWebGpu()!);
  afterAll(() => device.close());

  it('names its adapter and the largest tensor', () => {
    expect(device.info.description).toMatch(/\w/);
    expect(device.info.tensorBytes).toBeGreaterThanOrEqual(128 << 20);
  });

  it('does what it is told in this order, also where memory is used again', () => {
    const kept: [number, number][] = [];
    for (let i = 0; i < 300; i++) {
      const x = device.upload(Float32Array.of(i, i + 0.5));
      const y = device.create(8);
      device.run(DOUBLE, [x, y], [2], 1);
      device.free(x);
      if (i % 50 === 0) kept.push([i, y]);
      else device.free(y);
    }
    for (const [i, y] of kept) expect([...device.read(y, 2)]).toEqual([2 * i, 2 * i + 1]);
  });

  it.runIf(device.info.isSoftware)('gives back the memory of sizes that are no longer needed', () => {
    // A driver without a card has its memory from the process.
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 80; i++) {
      const x = device.create((2 << 20) * 1.05 ** i);
      device.clear(x);
      device.read(x, 1);
      device.free(x);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
  });

  it('copies and clears', () => {
    const x = device.upload(Float32Array.of(1, 2, 3, 4));
    const y = device.upload(Float32Array.of(5, 6, 7, 8));
    device.copy(x, 1, y, 2, 2);
    expect([...device.read(y, 4)]).toEqual([5, 6, 2, 3]);
    device.clear(y);
    expect([...device.read(y, 4)]).toEqual([0, 0, 0, 0]);
  });

  it('refuses a tensor that it cannot hold', () => {
    expect(() => device.create(device.info.tensorBytes + 4)).toThrow(
      `a tensor of ${device.info.tensorBytes + 4} bytes, and ${device.info.description} takes at most`,
    );
  });

  describe('that has failed says why at the next read, in one line', () => {
    it('at a shader that does not compile', () => {
      const own = openDevice(findWebGpu()!);
      const x = own.upload(Float32Array.of(1));
      own.run(WRONG, [x, own.create(4)], [1], 1);
      expect(() => own.read(x, 1)).toThrow(
        /^train\.device webgpu: reading a result: .*nothing.*; train\.device cpu/,
      );
      own.close();
    });

    it('when it is lost', () => {
      const own = openDevice(findWebGpu()!);
      const x = own.upload(Float32Array.of(1));
      expect([...own.read(x, 1)]).toEqual([1]);
      own.close();
      expect(() => own.read(x, 1)).toThrow(
        /^train\.device webgpu: reading a result: the device is lost \(destroyed\)/,
      );
    });
  });

  it('whose library is none says so', () => {
    expect(() => openDevice('/nowhere/dawn.node')).toThrow(
      /^train\.device webgpu: start: .*\/nowhere\/dawn\.node/,
    );
  });
});
