import { expect, it, onTestFinished, vi } from 'vitest';
import type { RankTensors } from '../../src/checkpoint/rank-tensors.js';
import { topologyOf } from '../../src/collectives/topology.js';
import { TrainerError } from '../../src/errors.js';
import type { WorkerAssignment } from '../../src/worker/messages.js';
import type { ShardWriter } from '../../src/worker/shard-writer.js';
import { Snapshots } from '../../src/worker/snapshots.js';
import { tensorsOf } from '../checkpoint/fixture.js';

const TENSORS: RankTensors = tensorsOf(0, 1, 0);
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** The snapshots of the first of two ranks; the other one votes and costs the same. */
function snapshotsOf(
  snapshotEvery: 'auto' | number,
  { maxRestarts = 3, write = async () => [] as never[], kind = 'memory' } = {},
) {
  const config = { train: { snapshotEvery }, cluster: { maxRestarts }, moe: { expertStorage: { kind } } };
  const assignment = { config, topology: topologyOf(0, 1, 2), generation: 2, snapshotDir: '/dev/shm/none' };
  const writer = { lend: (tensors: RankTensors) => tensors, write: vi.fn(write), isBusy: false };
  const said: unknown[] = [];
  const logger = { info: (line: string) => said.push(line), warn: (line: string) => said.push(line) };
  const snapshots = new Snapshots({
    assignment: assignment as unknown as WorkerAssignment,
    writer: writer as unknown as ShardWriter,
    emit: (event) => said.push(event),
    logger: logger as never,
    step: 100,
  });
  /** Returns whether a snapshot is taken after the step. */
  const step = async (number: number) => {
    const { refusals, cost } = snapshots.vote(number);
    if (!snapshots.agree({ refusals: 2 * refusals, cost: 2 * cost })) return false;
    snapshots.take(number, TENSORS, { loss: 1 }, 100);
    await settled();
    return true;
  };
  return { snapshots, writer, said, step };
}

/** Steps from 101 to `last` after which a snapshot is taken; each is kept one step later. */
async function takenSteps({ snapshots, step }: ReturnType<typeof snapshotsOf>, last: number, ms = 0) {
  const taken: number[] = [];
  for (let number = 101; number <= last; number++) {
    if (taken.length > 0) snapshots.onKept({ type: 'snapshot-kept', step: taken.at(-1)!, ms });
    if (await step(number)) taken.push(number);
  }
  return taken;
}

it('are taken after every n steps, or never', async () => {
  expect(await takenSteps(snapshotsOf(4), 112)).toEqual([104, 108, 112]);
  expect(await takenSteps(snapshotsOf(0), 112)).toEqual([]);
  // A run that never restarts has no use for snapshots.
  expect(await takenSteps(snapshotsOf(1, { maxRestarts: 0 }), 112)).toEqual([]);
});

it('are not taken of experts in a file, unless they are asked for', async () => {
  expect(await takenSteps(snapshotsOf('auto', { kind: 'file' }), 112)).toEqual([]);
  expect(await takenSteps(snapshotsOf(4, { kind: 'file' }), 112)).toEqual([104, 108, 112]);
});

it('are taken as often as costs 1 % of the steps, once the cost is known', async () => {
  // 2 ranks share the 200 ms of their node, which is 1 step of 100 ms, beside the time of this rank itself.
  const [first, second, ...more] = await takenSteps(snapshotsOf('auto'), 330, 200);
  expect(first).toBe(105);
  expect(second - first).toBeGreaterThanOrEqual(100);
  expect(second - first).toBeLessThan(115);
  expect(more).toHaveLength(1);
});

it('are taken after half a minute, where that costs less than 10 % of the steps', async () => {
  const clock = vi.spyOn(performance, 'now').mockReturnValue(0);
  onTestFinished(() => clock.mockRestore());
  const slow = snapshotsOf('auto');
  const fixed = snapshotsOf(100);
  clock.mockReturnValue(30_000);
  // The cost is not known yet.
  expect([await slow.step(101), await fixed.step(101)]).toEqual([true, false]);
  // The node's cost equals the time of a step, so 1 % of the steps allows one snapshot in 100.
  slow.snapshots.onKept({ type: 'snapshot-kept', step: 101, ms: 200 });
  expect(await slow.step(102)).toBe(false);
  clock.mockReturnValue(59_999);
  expect(await slow.step(150)).toBe(false);
  clock.mockReturnValue(60_000);
  expect([await slow.step(110), await slow.step(111)]).toEqual([false, true]);
});

it('wait for the one before, and for a checkpoint that is written', async () => {
  const { snapshots, writer, said, step } = snapshotsOf(2);
  expect(await step(102)).toBe(true);
  expect(writer.write.mock.calls).toMatchObject([
    [{ snapshotIn: '/dev/shm/none/generation-2-step-102', rank: 0 }],
  ]);
  expect(said).toMatchObject([{ type: 'snapshot', report: { step: 102, metrics: { loss: 1 } } }]);
  for (const number of [103, 104, 105]) expect(await step(number)).toBe(false);
  snapshots.onKept({ type: 'snapshot-kept', step: 102, ms: 1 });
  writer.isBusy = true;
  expect(await step(106)).toBe(false);
  writer.isBusy = false;
  expect(await step(107)).toBe(true);
});

it('are given up with one warning where there is no room, but what is not finite ends the rank', async () => {
  const fail = (code: 'DISK_FULL' | 'NOT_FINITE') => async () => {
    throw new TrainerError(code, 'it failed');
  };
  const full = snapshotsOf(1, { write: fail('DISK_FULL') });
  expect(await full.step(101)).toBe(true);
  for (const number of [102, 103]) expect(await full.step(number)).toBe(false);
  expect(full.said).toEqual(["no snapshots of the run's state in memory: it failed"]);
  const bad = snapshotsOf(1, { write: fail('NOT_FINITE') });
  expect(await bad.step(101)).toBe(true);
  await expect(bad.step(102)).rejects.toThrow('it failed');
});
