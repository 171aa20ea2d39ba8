import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnRanks } from '@locmoe/test-kit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { allNames, expectedValue } from './fixture.js';
import type { SaveArgs } from './save-ranks.program.js';

let run: string;
let root: string;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'locmoe-checkpoint-'));
  root = join(run, 'checkpoints');
});
afterEach(() => rmSync(run, { recursive: true }));

const program = new URL('./save-ranks.program.ts', import.meta.url);
const save = (workersPerNode: number, args: Omit<SaveArgs, 'root'>) =>
  spawnRanks<string[]>({ numNodes: 1, workersPerNode }, program, { args: { root, ...args } });

function expectNewest(step: number): void {
  const checkpoint = resolveCheckpoint(run, (message) => expect.unreachable(message));
  for (const name of allNames)
    expect(checkpoint.read(name)).toEqual(new Float32Array(128).fill(expectedValue(name, step)));
  expect(checkpoint.manifest.step).toBe(step);
}

test('four ranks write one checkpoint that a single reader loads; what stops one rank stops all alike', async () => {
  const { ranks } = await save(4, { nanOnRank: 3, unsharedRank: 2, killedRank: -1 });
  expect(ranks.map(({ rank, error }) => error?.line ?? rank)).toEqual([0, 1, 2, 3]);
  for (const { result } of ranks)
    expect(result).toEqual([
      join(root, 'step-000001'),
      expect.stringMatching(
        /^NOT_FINITE rank 3, checkpoint write: tensor layers\.1\.experts\.3\.w_in holds NaN at element 5/,
      ),
      expect.stringMatching(
        /^NO_RESOURCE rank 2, checkpoint write: .*mount the checkpoint folder on all nodes/,
      ),
      join(root, 'step-000004'),
    ]);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000001', 'step-000004']);
  expect(readdirSync(join(root, 'step-000004')).filter((file) => file.startsWith('experts'))).toEqual(
    [0, 1, 2, 3].map((rank) => `experts-${rank}-of-4.safetensors`),
  );
  expectNewest(4);
});

test('a rank that is killed while it writes leaves the others with an error and the checkpoint before', async () => {
  const { ranks } = await save(2, { nanOnRank: -1, unsharedRank: -1, killedRank: 1 });
  expect(ranks[1].signal).toBe('SIGKILL');
  expect(ranks[0].result?.slice(0, 3)).toEqual([1, 2, 3].map((step) => join(root, `step-00000${step}`)));
  expect(ranks[0].result?.[3]).toMatch(/^ABORTED .*rank 1 failed: SIGKILL/);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000002', 'step-000003']);
  expectNewest(3);
});
