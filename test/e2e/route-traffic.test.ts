import { rmSync } from 'node:fs';
import path from 'node:path';
import { RunFolder, readRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { runCommand } from '../run-command.js';
import { temporaryFolder, trainToTheEnd } from './support.js';

const RECORDED = ['train.recordRoutes.every=1', 'train.recordRoutes.share=1'];

const traffic = (run: string, ...args: string[]) => runCommand('routes', 'traffic', run, ...args);

async function trafficOf(run: string, ...args: string[]) {
  return JSON.parse((await traffic(run, ...args, '--json')).stdout);
}

it('says what was sent by link, and that the recorded routes say the same to the byte', async () => {
  const folder = temporaryFolder();
  const several = ['moe.router=locmoe-plus', 'moe.numExperts=8', 'cluster.deduplicate=true'];
  const sets = ['train.steps=2', 'train.microBatches=2', ...several, ...RECORDED];
  const run = await trainToTheEnd({ folder, nodes: 2, workersPerNode: 2, sets });
  const { recorded, ...whole } = await trafficOf(run);
  expect(whole).toMatchObject({ steps: 2, otherLayout: 0, numNodes: 2, between: 'ranks' });
  expect(recorded).toMatchObject({ steps: [1, 2], incomplete: [], share: 1 });
  expect(recorded.layers).toHaveLength(2 * 4);
  for (const { bytes, fromRoutes, difference } of recorded.layers) {
    expect(bytes).toEqual(fromRoutes);
    expect(difference).toBe(0);
    expect(bytes.flat().some((each: number) => each > 0)).toBe(true);
    // A token enters another node at the rank with the sender's local index.
    expect([bytes[0][3], bytes[1][2], bytes[2][1], bytes[3][0]]).toEqual([0, 0, 0, 0]);
  }
  const steps = readRecords(new RunFolder(run).metrics).filter((record) => record.type === 'step');
  for (const from of [0, 1, 2, 3])
    for (const to of [0, 1, 2, 3]) {
      const ofSteps = steps.reduce((sum, { links }) => sum + links!.bytes[from]![to]!, 0);
      const ofLayers = recorded.layers.reduce(
        (sum: number, { bytes }: { bytes: number[][] }) => sum + bytes[from]![to]!,
        0,
      );
      expect(ofLayers).toBe(ofSteps);
    }
  for (const step of steps) {
    expect(step.bytesImbalance).toBeGreaterThanOrEqual(1);
    expect(step.timeImbalance).toBeGreaterThanOrEqual(1);
    expect(step.loadImbalance).toBeGreaterThanOrEqual(1);
    expect(step.gateShare).toBeGreaterThan(0);
  }

  const printed = (await traffic(run)).stdout;
  expect(printed).toMatch(/mean of 2\n +from, to +rank 0 +rank 1 +rank 2 +rank 3\n/);
  expect(printed).toMatch(/ +from, to +node 0 +node 1\n/);
  expect(printed).toMatch(/layer 1 dispatch gradient +[\d,]+ +[\d,]+ +([\d,]+) +\1 +0\n/);
  expect(await trafficOf(run, '--from', '2')).toMatchObject({
    steps: 1,
    bytes: steps[1]!.links!.bytes,
    recorded: { steps: [2] },
  });

  rmSync(path.join(run, 'routes/step-000002-rank-003.parquet'));
  expect((await traffic(run)).stdout).toMatch(/\n1 step with recorded routes[\s\S]*not counted.*: 1 step\n$/);
  expect(await traffic(run, '--from', '9')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^locmoe: .*: no step from 9 to the last has bytes by link; .*\n$/),
  });
});

it('compares nothing where the routes are a sample', async () => {
  const sets = ['train.steps=1', ...RECORDED, 'train.recordRoutes.share=0.5'];
  const run = await trainToTheEnd({ folder: temporaryFolder(), nodes: 1, workersPerNode: 2, sets });
  const { recorded } = await trafficOf(run);
  expect(recorded).toMatchObject({
    share: 0.5,
    layers: [{ fromRoutes: null, difference: null }, {}, {}, {}, {}, {}, {}, {}],
  });
  expect((await traffic(run)).stdout).toMatch(/ 50 % sample .* nothing to compare\n$/);
});

it('expects no gradients of a layer below which nothing is trained', async () => {
  const sets = ['train.steps=1', 'train.only=router', 'moe.router=switch', ...RECORDED];
  const run = await trainToTheEnd({ folder: temporaryFolder(), nodes: 1, workersPerNode: 2, sets });
  const { recorded } = await trafficOf(run);
  const sent = recorded.layers.map((each: { layer: number; direction: string; difference: number }) => [
    each.layer,
    each.direction,
    each.difference,
  ]);
  expect(sent).toEqual([
    [1, 'dispatch', 0],
    [1, 'combine', 0],
    [2, 'dispatch', 0],
    [2, 'combine', 0],
    [2, 'combine gradient', 0],
    [2, 'dispatch gradient', 0],
  ]);
});
