import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endOf, endProgram, forkProgram } from '@locmoe/test-kit';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { CheckpointCommitter } from '../../src/coordinator/checkpoint-committer.js';
import type { CoordinatorCommand } from '../../src/rpc/generated/messages.js';
import type { SaveCommand, WorkerEvent } from '../../src/worker/messages.js';
import { allNames, expectedValue, saveOptions, tensorsOf } from '../checkpoint/fixture.js';
import type { SaveArgs } from './save-ranks.program.js';

const PROGRAM = fileURLToPath(new URL('./save-ranks.program.ts', import.meta.url));

let root: string;
beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'locmoe-save-')), 'checkpoints');
});
afterEach(() => rmSync(dirname(root), { recursive: true }));

interface RankEnd {
  readonly signal: string | null;
  readonly committed?: boolean;
  readonly error?: string;
}

interface RankOptions extends Partial<SaveArgs> {
  /** LOCMOE_FAIL of its process. */
  readonly fail?: string;
}

/** Ranks that save steps 1 to 4 in processes of their own; as soon as one ends with an error, the others are ended. */
async function saveInRanks(options: readonly RankOptions[]) {
  const said: string[] = [];
  const { tensors: _, ...run } = saveOptions(root, 0, tensorsOf(0, 1, 0));
  const worldSize = options.length;
  const ranks = options.map(({ fail, ...args }, rank) => {
    const child = forkProgram(PROGRAM, fail === undefined ? {} : { LOCMOE_FAIL: fail });
    onTestFinished(() => endProgram(child));
    child.send({ root, rank, worldSize, nanAt: 0, isUnshared: false, ...args } satisfies SaveArgs);
    return child;
  });
  const committer = new CheckpointCommitter({
    run: { ...run, world: { nodes: 1, workersPerNode: worldSize } },
    tell: (command) => {
      for (const child of ranks) if (child.connected) child.send(commandOf(command));
    },
    onCommit: ({ step }) => said.push(`committed ${step}`),
    onNoRoom: () => undefined,
    warn: (line) => said.push(line),
    onFailure: ({ code, line }) => {
      said.push(`${code} ${line}`);
      endAll();
    },
  });
  const endAll = () => {
    committer.abandon();
    for (const child of ranks) child.disconnect();
  };
  const ends = await Promise.all(
    ranks.map(async (child): Promise<RankEnd> => {
      let end: Omit<RankEnd, 'signal'> = {};
      child.on('message', (event: WorkerEvent | ({ type: 'ended' } & typeof end)) => {
        if (event.type === 'saving') committer.announce(event.report);
        else if (event.type === 'shards') committer.receive(event.report);
        else if (event.type === 'ended') end = event;
      });
      const { signal } = await endOf(child);
      if (signal !== null || end.error !== undefined) for (const each of ranks) each.kill();
      return { ...end, signal };
    }),
  );
  committer.abandon();
  return { said, ends };
}

function commandOf(command: CoordinatorCommand): SaveCommand {
  if (command.command === 'writeShards') return { type: 'write-shards', ...command.writeShards };
  if (command.command === 'saveEnded') return { type: 'save-ended', ...command.saveEnded };
  throw new Error(`no command of a save: ${JSON.stringify(command)}`);
}

function expectNewest(step: number): void {
  const checkpoint = resolveCheckpoint(root, (message) => expect.unreachable(message));
  for (const name of allNames)
    expect(checkpoint.read(name)).toEqual(new Float32Array(128).fill(expectedValue(name, step)));
  expect(checkpoint.manifest).toMatchObject({ step, metrics: { loss: step } });
}

it('two ranks write one checkpoint that a single reader loads, of the values at its step', async () => {
  const { said, ends } = await saveInRanks([{}, {}]);
  expect(said).toEqual([1, 2, 3, 4].map((step) => `committed ${step}`));
  for (const end of ends) expect(end).toMatchObject({ committed: true, signal: null });
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000003', 'step-000004']);
  expect(readdirSync(join(root, 'step-000004')).filter((file) => file.startsWith('experts'))).toEqual(
    [0, 1].map((rank) => `experts-${rank}-of-2.safetensors`),
  );
  expectNewest(4);
});

it('a tensor that is not finite ends its rank with its name, and the checkpoint before stays', async () => {
  const { said, ends } = await saveInRanks([{}, { nanAt: 3 }]);
  expect(ends[1].error).toMatch(
    /^NOT_FINITE rank 1, step 3, checkpoint write: tensor layers\.1\.experts\.2\.w_in holds NaN at element 5/,
  );
  expect(said).toEqual(['committed 1', 'committed 2']);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000001', 'step-000002']);
  expectNewest(2);
});

it('a rank that does not see the shared disk says so', async () => {
  const { said, ends } = await saveInRanks([{}, { isUnshared: true }]);
  expect(ends[1].error).toMatch(
    /^NO_RESOURCE rank 1, step 1, checkpoint write: .*mount the checkpoint folder on all nodes/,
  );
  expect(said).toEqual([]);
});

it('a full disk skips a checkpoint, and fails the run only at its last', async () => {
  const skipped = await saveInRanks([{}, { fail: 'checkpoint.shard:3:full' }]);
  expect(skipped.said).toEqual([
    'committed 1',
    expect.stringMatching(
      /^no checkpoint of step 2: rank 1, step 2, checkpoint write: .*ENOSPC.*free some space; the run goes on, the next try is in \d+ steps$/,
    ),
    'committed 3',
    'committed 4',
  ]);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000003', 'step-000004']);
  rmSync(root, { recursive: true });
  const failed = await saveInRanks([{}, { fail: 'checkpoint.shard:7:full' }]);
  expect(failed.said.slice(3)).toEqual([
    expect.stringMatching(/^DISK_FULL rank 1, step 4, checkpoint write: .*ENOSPC/),
  ]);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000002', 'step-000003']);
});

it('a rank that is killed while it writes leaves the checkpoint before', async () => {
  const { said, ends } = await saveInRanks([{}, { fail: 'checkpoint.shard:7' }]);
  expect(ends[1].signal).toBe('SIGKILL');
  expect(said).toEqual(['committed 1', 'committed 2', 'committed 3']);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000002', 'step-000003']);
  expectNewest(3);
});
