import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { Locmoe, newestRun, temporaryFolder, trainArguments } from './support.js';

/** Trains 30 steps; the first save finds the disk full. */
async function trainOnFullDisk(checkpointEvery: number) {
  const folder = temporaryFolder();
  const args = trainArguments({
    ...{ folder, nodes: 1, workersPerNode: 2, sets: [`train.checkpointEvery=${checkpointEvery}`] },
  });
  const run = new Locmoe(args, { LOCMOE_FAIL: 'checkpoint.shard:full' });
  const end = await run.finished;
  await run.expectNothingLeft();
  return { ...end, checkpoints: readdirSync(path.join(newestRun(folder), 'checkpoints')).sort() };
}

it('a full disk costs a checkpoint on the way, not the run', async () => {
  const { code, stdout, stderr, checkpoints } = await trainOnFullDisk(10);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/warning: no checkpoint of step 10: .*ENOSPC.*free some space; the run goes on/);
  expect(checkpoints).toEqual(['latest', 'step-000020', 'step-000030']);
}, 60_000);

it('a full disk fails a run that cannot save its end', async () => {
  const { code, stderr, checkpoints } = await trainOnFullDisk(100);
  expect(code, stderr).toBe(3);
  expect(stderr).toMatch(/run failed: .*checkpoint write.*ENOSPC.*free some space/);
  expect(checkpoints).toEqual([]);
}, 60_000);
