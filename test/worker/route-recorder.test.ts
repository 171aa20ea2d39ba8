import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readRoutes } from '@locmoe/run-format/routes-file';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../packages/logs/test/small-disk.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { Dataset } from '../../src/data/dataset.js';
import type { Logger } from '../../src/logger.js';
import { tf } from '../../src/ops/tensorflow.js';
import type { WorkerAssignment } from '../../src/worker/messages.js';
import { openRecorder } from '../../src/worker/route-recorder.js';
import { createTrainState } from '../../src/worker/state.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from './step-batches.js';

let run: string;
beforeEach(() => {
  run = mkdtempSync(path.join(tmpdir(), 'locmoe-recorder-'));
});
afterEach(() => rmSync(run, { recursive: true, force: true }));

/** Records steps 1 to 6 with a limit of `maxMB`; returns what was warned of. */
function record(maxMB: number, doneStep = 0): string[] {
  const recording = { every: 2, from: 3, to: 6, share: 1, maxMB };
  const config = tinyConfig({ train: { recordRoutes: recording } });
  const warn = vi.fn();
  const transport = soloTransport();
  const { model } = createTrainState(config, transport, null);
  const train = { ids: Uint16Array.from({ length: 1000 }, (_, i) => i % 10) };
  const dataset = { endOfText: 0, domains: config.data.domains.map((name) => ({ name, train })) };
  const recorder = openRecorder(
    {
      config,
      topology: transport.topology,
      checkpointDir: path.join(run, 'checkpoints'),
    } as WorkerAssignment,
    dataset as unknown as Dataset,
    doneStep,
    { warn } as unknown as Logger,
  )!;
  for (let step = doneStep + 1; step <= 6; step++) {
    const batches = batchesOf(step, 1);
    const places = [...batches[0]!.domains].map((domain, sequence) => ({
      domain: config.data.domains[domain]!,
      sequence,
      begin: 95,
      end: 95 + batches[0]!.seqLen,
    }));
    const inspectorOf = recorder.begin(step, batches, [places]);
    if (inspectorOf !== undefined)
      tf.tidy(() => {
        model.loss(batches[0]!, { training: true, wantsScores: true, inspect: inspectorOf(0) });
      });
    recorder.end([]);
  }
  model.dispose();
  return warn.mock.calls.map(([line]) => line);
}

const recorded = () => readdirSync(path.join(run, 'routes')).sort();
const FILES = ['step-000004-rank-000.parquet', 'step-000006-rank-000.parquet'];

it('records the steps that are asked for, and tells the documents of their tokens', async () => {
  expect(record(1)).toEqual([]);
  expect(recorded()).toEqual(FILES);
  const rows = await readRoutes(path.join(run, 'routes', FILES[0]!));
  // A document ends behind each id 0: token 95 is in document 10, token 101 in the next.
  for (const { position, document } of rows) expect(document).toBe(Math.floor((94 + position) / 10) + 1);
});

it('goes on behind a checkpoint: later files and unfinished ones are removed, earlier ones stay', () => {
  record(1);
  writeFileSync(path.join(run, 'routes', 'step-000008-rank-000.parquet'), '');
  writeFileSync(path.join(run, 'routes', 'step-000006-rank-001.parquet.tmp'), '');
  record(1, 4);
  expect(recorded()).toEqual(FILES);
});

it('stops at its limit, which counts what was recorded before', () => {
  expect(record(1e-6)).toEqual([expect.stringMatching(/the recording of routes ends: train\.recordRoutes/)]);
  expect(recorded()).toEqual(FILES.slice(0, 1));
  expect(record(1e-6, 4)).toEqual([]);
  expect(recorded()).toEqual(FILES.slice(0, 1));
});

it('stops at a full disk, and leaves no part of a file', (context) => {
  const disk = smallDisk(1 << 16);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  rmSync(run, { recursive: true });
  run = path.join(disk, 'run');
  mkdirSync(path.join(run, 'routes'), { recursive: true });
  expect(() => writeFileSync(path.join(disk, 'filler'), Buffer.alloc(1 << 17))).toThrow(/ENOSPC/);
  expect(record(1)).toEqual([
    expect.stringMatching(/^the recording of routes ends: no space is left for .*routes$/),
  ]);
  expect(recorded()).toEqual([]);
});
