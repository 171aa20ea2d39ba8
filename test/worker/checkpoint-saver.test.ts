import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFolder } from '../../src/checkpoint/folders.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { CheckpointSaver } from '../../src/worker/checkpoint-saver.js';
import type { WorkerAssignment, WorkerEvent } from '../../src/worker/messages.js';
import { ShardWriter } from '../../src/worker/shard-writer.js';
import { config, tensorsOf } from '../checkpoint/fixture.js';

const tensors = tensorsOf(0, 1, 1);
const about = { step: 1, isLast: false, keepStep: -1, metrics: {}, sharedCrc32: 0 };

function newSaver() {
  const folder = mkdtempSync(join(tmpdir(), 'locmoe-saver-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const root = join(folder, 'checkpoints');
  mkdirSync(temporaryFolder({ root, step: 1, generation: 1 }), { recursive: true });
  const transport = soloTransport();
  const assignment = { config, generation: 1, checkpointDir: root, topology: transport.topology };
  const onDone = vi.fn();
  const writer = new ShardWriter();
  writer.begin({ rank: 0, generation: 1 }, onDone);
  const events: WorkerEvent['type'][] = [];
  const saver = new CheckpointSaver({
    assignment: assignment as Partial<WorkerAssignment> as WorkerAssignment,
    transport,
    writer,
    emit: ({ type }) => events.push(type),
  });
  return { saver, writer, onDone, events, folder };
}

it('a save that ends while a snapshot is written leaves the snapshot its tensors', async () => {
  const { saver, writer, onDone, events, folder } = newSaver();
  saver.begin(about, tensors);
  saver.onCommand({ type: 'write-shards', step: 1 });
  // The thread begins by loading its program.
  await vi.waitFor(() => expect(events).toEqual(['saving', 'shards']), 30_000);
  expect(writer.isBusy).toBe(false);
  expect(onDone).toHaveBeenCalledOnce();
  const snapshotIn = join(folder, 'snapshot');
  const written = writer.write({ snapshotIn, rank: 0, worldSize: 1, tensors: writer.lend(tensors) });
  saver.onCommand({ type: 'save-ended', step: 1, committed: true });
  expect(writer.isBusy).toBe(true);
  expect(onDone).toHaveBeenCalledOnce();
  expect(await saver.settle()).toBe(true);
  expect(writer.isBusy).toBe(false);
  expect((await written).length).toBeGreaterThan(0);
});

it('a save that is given up before it is written needs its copy no longer', async () => {
  const { saver, writer, onDone } = newSaver();
  saver.begin(about, tensors);
  expect(writer.isBusy).toBe(true);
  saver.onCommand({ type: 'save-ended', step: 1, committed: false });
  expect(writer.isBusy).toBe(false);
  expect(onDone).toHaveBeenCalledOnce();
  expect(await saver.settle()).toBe(false);
});
