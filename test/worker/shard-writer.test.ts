import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { RankTensors } from '../../src/checkpoint/rank-tensors.js';
import { FlatArrays } from '../../src/simd/index.js';
import { ShardWriter } from '../../src/worker/shard-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'locmoe-shard-writer-'));
const writer = new ShardWriter();
afterAll(() => rmSync(folder, { recursive: true }));

const LENGTH = 4_000_000;
const [values] = new FlatArrays(LENGTH, 1, true).arrays;
const state = Float32Array.of(1, 2, 3);
const tensors: RankTensors = {
  shared: [{ name: 'w', shape: [LENGTH], data: values }],
  optimizerShared: [],
  state: [{ name: 's', shape: [3], data: state }],
  experts: [],
  optimizerExperts: [],
};

it('writes what was lent as it was, however soon it changes after reclaim', async () => {
  values.fill(0.5);
  const snapshotIn = join(folder, 'lent');
  const lent = writer.lend(tensors);
  // The large array is lent without a copy; only the router state outside shared memory is copied.
  expect(lent.shared[0].data).toBe(values);
  state.fill(9);
  let numWaits = 0;
  const written = writer.write({ snapshotIn, rank: 0, worldSize: 1, tensors: lent });
  expect(writer.reclaim(() => numWaits++, 30_000)).toBe(true);
  values.fill(-1);
  expect(numWaits).toBeGreaterThan(0);
  expect(writer.reclaim(() => numWaits++, 0)).toBe(true);
  const bytes = (await written).map(({ file }) => readFileSync(join(snapshotIn, file)));
  const contents = Buffer.concat(bytes);
  expect(contents.indexOf(Buffer.from(Float32Array.of(1, 2, 3).buffer))).toBeGreaterThan(0);
  expect(contents.indexOf(Buffer.from(Float32Array.of(-1, -1).buffer))).toBe(-1);
  const halves = Buffer.from(new Float32Array(LENGTH).fill(0.5).buffer);
  expect(contents.indexOf(halves)).toBeGreaterThan(0);
});

it('says so when the thread is too slow, and is waited for again', async () => {
  const snapshotIn = join(folder, 'slow');
  const written = writer.write({ snapshotIn, rank: 0, worldSize: 1, tensors: writer.lend(tensors) });
  expect(writer.reclaim(() => undefined, -1)).toBe(false);
  expect(writer.reclaim(() => undefined, 30_000)).toBe(true);
  await written;
  expect(writer.isBusy).toBe(false);
});

it('refuses every job once its thread has ended', async () => {
  const broken = new ShardWriter();
  broken.armFailpoint('none of this name');
  for (const name of ['first', 'second']) {
    const snapshotIn = join(folder, name);
    const written = broken.write({ snapshotIn, rank: 0, worldSize: 1, tensors: broken.lend(tensors) });
    await expect(written).rejects.toThrow();
    expect(broken.isBusy).toBe(false);
    expect(broken.reclaim(() => undefined, 0)).toBe(true);
  }
});
