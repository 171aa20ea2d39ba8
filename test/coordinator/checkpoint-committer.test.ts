import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { claimCheckpoints, temporaryFolder } from '../../src/checkpoint/folders.js';
import { readManifest } from '../../src/checkpoint/manifest.js';
import { writeShards } from '../../src/checkpoint/shards.js';
import { CheckpointCommitter } from '../../src/coordinator/checkpoint-committer.js';
import { armFailpoint } from '../../src/failpoint.js';
import type { SaveIntent, ShardReport } from '../../src/rpc/generated/messages.js';
import { saveOptions, tensorsOf } from '../checkpoint/fixture.js';

let root: string;
let said: unknown[];
const COST = { bytes: expect.any(Number), seconds: expect.any(Number) };
let committer: CheckpointCommitter;
beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'locmoe-commit-')), 'checkpoints');
  said = [];
  const { tensors: _, ...run } = saveOptions(root, 0, tensorsOf(0, 1, 0));
  committer = new CheckpointCommitter({
    run: { ...run, world: { nodes: 2, workersPerNode: 1 } },
    tell: (command) => said.push(command),
    onCommit: (report) => said.push(report),
    onNoRoom: (step) => said.push(`no room for step ${step}`),
    warn: (line) => said.push(line),
    onFailure: ({ code, line }) => said.push(`${code} ${line}`),
  });
});
afterEach(() => rmSync(dirname(root), { recursive: true }));

const intent = (rank: number, step: number, change: Partial<SaveIntent> = {}): SaveIntent => ({
  rank,
  step,
  generation: 1,
  bytes: 1000,
  isLast: false,
  keepStep: -1,
  metrics: { loss: rank },
  sharedCrc32: 77,
  ...change,
});

/** Writes the files of a rank, and returns the rank's report of them. */
function written(rank: number, step: number): ShardReport {
  const folder = temporaryFolder({ root, step, generation: 1 });
  const files = writeShards(folder, { rank, worldSize: 2 }, tensorsOf(rank, 2, step));
  return { rank, step, generation: 1, files, noRoom: '' };
}

function announceAll(step: number, change: Partial<SaveIntent> = {}): void {
  for (const rank of [1, 0]) committer.announce(intent(rank, step, change));
}

it('nothing is written before all ranks have announced, nothing committed before all have written', () => {
  committer.announce(intent(0, 5));
  expect(said).toEqual([]);
  committer.announce(intent(1, 5));
  expect(said).toEqual([{ command: 'writeShards', writeShards: { step: 5 } }]);
  committer.receive(written(1, 5));
  expect(readdirSync(root)).toEqual(['step-000005.tmp-1']);
  committer.receive(written(0, 5));
  const directory = join(root, 'step-000005');
  expect(said.slice(1)).toEqual([
    { step: 5, directory, ...COST },
    { command: 'saveEnded', saveEnded: { step: 5, committed: true } },
  ]);
  announceAll(6);
  expect(said.at(-1)).toEqual({ command: 'writeShards', writeShards: { step: 6 } });
});

it('what does not belong to the open save is refused', () => {
  const refused = /^it sent `(saving|shards)` of rank \d and step \d, but (none|step 5) is being saved$/;
  const report = { rank: 0, step: 5, generation: 1, files: [], noRoom: '' };
  expect(() => committer.receive(report)).toThrow(refused);
  committer.announce(intent(0, 5));
  expect(() => committer.announce(intent(0, 5))).toThrow(refused);
  expect(() => committer.announce(intent(1, 6))).toThrow(refused);
  // The report comes too early, as not all ranks have announced.
  expect(() => committer.receive(report)).toThrow(refused);
  committer.announce(intent(1, 5));
  expect(() => committer.receive({ ...report, step: 6 })).toThrow(refused);
  const first = written(0, 5);
  committer.receive(first);
  expect(() => committer.receive(first)).toThrow(refused);
  expect(() => committer.announce(intent(0, 6))).toThrow(refused);
});

it('what the disk has no room for is not begun, and fails the run only at its last', () => {
  announceAll(5, { bytes: 2 ** 52 });
  expect(said).toEqual([
    'no room for step 5',
    expect.stringMatching(
      /^no checkpoint of step 5: step 5, checkpoint write: a checkpoint needs .* are free;/,
    ),
    { command: 'saveEnded', saveEnded: { step: 5, committed: false } },
  ]);
  announceAll(6, { bytes: 2 ** 52, isLast: true });
  expect(said.slice(3)).toEqual([expect.stringMatching(/^DISK_FULL step 6, checkpoint write: a checkpoint/)]);
  expect(readdirSync(root)).toEqual([]);
});

it('the metrics are those of the first rank, whoever announces first', () => {
  announceAll(5);
  for (const rank of [0, 1]) committer.receive(written(rank, 5));
  expect(readManifest(join(root, 'step-000005')).metrics).toEqual({ loss: 0 });
});

it('what fails once a checkpoint is committed is only warned of', () => {
  announceAll(5);
  armFailpoint('checkpoint.renamed:full');
  for (const rank of [0, 1]) committer.receive(written(rank, 5));
  expect(said.slice(1)).toEqual([
    expect.stringMatching(/step-000005 is saved, but not all .* could be removed: .*ENOSPC/),
    { step: 5, directory: join(root, 'step-000005'), ...COST },
    { command: 'saveEnded', saveEnded: { step: 5, committed: true } },
  ]);
});

it('a file that is not there as a rank says fails the run', () => {
  announceAll(5);
  committer.receive(written(1, 5));
  const report = written(0, 5);
  rmSync(join(root, 'step-000005.tmp-1', report.files[0].file));
  committer.receive(report);
  expect(said.slice(1)).toEqual([
    expect.stringMatching(
      /^NO_RESOURCE step 5, .*does not see it: mount the checkpoint folder on all nodes$/,
    ),
  ]);
  expect(readdirSync(root)).toEqual([]);
});

it('once a later generation has taken over nothing is committed', () => {
  announceAll(5);
  const reports = [0, 1].map((rank) => written(rank, 5));
  claimCheckpoints(root, 2);
  for (const report of reports) committer.receive(report);
  expect(said.slice(1)).toEqual([expect.stringMatching(/^SUPERSEDED /)]);
  expect(readdirSync(root)).toEqual(['generation-2']);
});

it('a save of which the generation ends leaves nothing', () => {
  announceAll(5);
  written(0, 5);
  committer.abandon();
  expect(readdirSync(root)).toEqual([]);
});

it('ranks whose shared parameters differ save nothing: the run fails', () => {
  committer.announce(intent(0, 5));
  committer.announce(intent(1, 5, { sharedCrc32: 78 }));
  expect(said).toEqual([
    'COLLECTIVE_MISMATCH rank 1, step 5, checkpoint write: the parameters that all ranks share are not those of rank 0: such a checkpoint is not saved',
  ]);
});
