import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { readMark } from '../../src/checkpoint/mapped-shards.js';
import type { RankTensors } from '../../src/checkpoint/rank-tensors.js';
import { readSafetensorsHeader, readTensor } from '../../src/checkpoint/safetensors.js';
import { localSnapshotFolders } from '../../src/collectives/segment-files.js';
import { topologyOf } from '../../src/collectives/topology.js';
import { TrainerError } from '../../src/errors.js';
import { armFailpoint } from '../../src/failpoint.js';
import { LocalSnapshots } from '../../src/worker/local-snapshots.js';
import type { WorkerAssignment } from '../../src/worker/messages.js';
import { tensorsOf } from '../checkpoint/fixture.js';

/** Time of a step, during which a snapshot of these small tensors costs next to nothing. */
const LONG = { stepMs: 1e6, cpuMs: 1e6 };

/** The local snapshots of the first of two ranks. */
function localOf(
  snapshotEvery: 'auto' | number = 'auto',
  { resumesFrom = -1, maxRestarts = 3, kind = 'memory' } = {},
) {
  const snapshotDir = mkdtempSync('/dev/shm/locmoe-test-');
  onTestFinished(() => rmSync(snapshotDir, { recursive: true, force: true }));
  const folders = localSnapshotFolders(snapshotDir);
  const config = { train: { snapshotEvery }, cluster: { maxRestarts }, moe: { expertStorage: { kind } } };
  const resumeFrom = folders[resumesFrom] ?? null;
  const assignment = { config, topology: topologyOf(0, 1, 2), generation: 2, snapshotDir, resumeFrom };
  const failures: TrainerError[] = [];
  const local = new LocalSnapshots({
    assignment: assignment as unknown as WorkerAssignment,
    step: 100,
    onFailure: (error) => failures.push(error),
  });
  onTestFinished(() => local.close());
  const take = (step: number, tensors = tensorsOf(0, 2, step), times = LONG) =>
    local.take({ step, ...times }, () => tensors, { loss: step });
  return { local, failures, take, marks: () => folders.map((folder) => readMark(folder, 0)), folders };
}

it('are taken in turn into two folders, from which the tensors of the step can be read', () => {
  const { take, marks, folders } = localOf();
  for (const step of [101, 102, 103]) take(step);
  expect(marks()).toMatchObject([
    { generation: 2, step: 103, metrics: { loss: 103 } },
    { generation: 2, step: 102, metrics: { loss: 102 } },
  ]);
  for (const [folder, step] of [
    [folders[0], 103],
    [folders[1], 102],
  ] as const) {
    const { bytes } = readMark(folder, 0)!;
    for (const [file, size] of Object.entries(bytes)) {
      expect(readFileSync(`${folder}/${file}`)).toHaveLength(size);
      const header = readSafetensorsHeader(`${folder}/${file}`);
      for (const name of header.tensors.keys())
        expect(readTensor(header, name).data).toEqual(tensorNamed(tensorsOf(0, 2, step), name));
    }
    expect(Object.keys(bytes)).toHaveLength(5);
  }
});

function tensorNamed(tensors: RankTensors, name: string) {
  return Object.values(tensors)
    .flat()
    .find((each) => each.name === name)!.data;
}

it('spare what the generation has started from until the next one is whole', () => {
  const { take, marks } = localOf('auto', { resumesFrom: 0 });
  take(101);
  expect(marks()).toMatchObject([null, { step: 101 }]);
});

it('leave no mark while their files are filled', () => {
  const { take, marks, failures } = localOf();
  for (const step of [101, 102]) take(step);
  armFailpoint('snapshot.copied:throw');
  take(103);
  expect(marks()).toMatchObject([null, { step: 102 }]);
  expect(failures).toHaveLength(1);
});

it('are taken after every step, or as often as they cost 1 to 2 % of the steps; never where none is wanted', () => {
  const { local } = localOf();
  const stepsUntilDue = (cost: number) => {
    for (let step = 101; ; step++) if (local.agree(step, 2 * cost)) return step - 100;
  };
  expect([0, 0.004, 0.019, 0.021, 0.051].map(stepsUntilDue)).toEqual([1, 1, 1, 2, 5]);
  expect(localOf(4).local.agree(103, 0)).toBe(false);
  expect(localOf(4).local.agree(104, 1)).toBe(true);
  for (const none of [localOf(0), localOf(1, { maxRestarts: 0 }), localOf('auto', { kind: 'file' })])
    expect(none.local.agree(1_000_000, 0)).toBe(false);
});

it('measure what they cost, and are given up by all ranks where one has no room', () => {
  const { local, take } = localOf();
  for (const step of [101, 102]) take(step);
  expect(local.cost).toBe(0);
  take(103, tensorsOf(0, 2, 103), { stepMs: 1e6, cpuMs: 1e-3 });
  expect(local.cost).toBeGreaterThan(1);
  const full = localOf();
  const huge = { name: 'huge', shape: [2 ** 50], data: { byteLength: 2 ** 52, length: 2 ** 50 } };
  full.take(101, { ...tensorsOf(0, 2, 101), shared: [huge as never] });
  expect(full.failures).toMatchObject([{ code: 'DISK_FULL' }]);
  expect(full.failures[0]).toBeInstanceOf(TrainerError);
  expect(full.local.agree(102, full.local.cost + 0.01)).toBe(false);
});
