import { rmSync } from 'node:fs';
import path from 'node:path';
import { RunFolder, readRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { locmoe, temporaryFolder, trainToTheEnd } from './support.js';

const RECORDED = ['train.recordRoutes.every=2', 'train.recordRoutes.share=1'];

it('says what was sent by link, and that the recorded routes say the same to the byte', async () => {
  const folder = temporaryFolder();
  const several = ['moe.router=locmoe-plus', 'moe.numExperts=8', 'cluster.deduplicate=true'];
  const sets = ['train.steps=4', 'train.microBatches=2', ...several, ...RECORDED];
  const run = await trainToTheEnd({ folder, nodes: 2, workersPerNode: 2, sets });
  const traffic = JSON.parse((await locmoe('routes', 'traffic', run, '--json')).stdout);
  expect(traffic).toMatchObject({ steps: 4, otherLayout: 0, numNodes: 2, between: 'ranks' });
  expect(traffic.recorded).toMatchObject({ steps: [2, 4], incomplete: [], share: 1 });
  expect(traffic.recorded.layers).toHaveLength(2 * 4);
  for (const { bytes, fromRoutes, difference } of traffic.recorded.layers) {
    expect(bytes).toEqual(fromRoutes);
    expect(difference).toBe(0);
    expect(bytes.flat().some((each: number) => each > 0)).toBe(true);
    // A token reaches another node at the rank with its own place.
    expect([bytes[0][3], bytes[1][2], bytes[2][1], bytes[3][0]]).toEqual([0, 0, 0, 0]);
  }
  const steps = readRecords(new RunFolder(run).metrics).filter((record) => record.type === 'step');
  const ofSteps = steps.filter(({ step }) => step % 2 === 0).map(({ links }) => links!.bytes);
  const linkOf = (from: number, to: number) =>
    traffic.recorded.layers.reduce(
      (sum: number, { bytes }: { bytes: number[][] }) => sum + bytes[from][to],
      0,
    );
  for (const from of [0, 1, 2, 3])
    for (const to of [0, 1, 2, 3]) expect(ofSteps[0][from][to] + ofSteps[1][from][to]).toBe(linkOf(from, to));
  for (const step of steps) {
    expect(step.bytesImbalance).toBeGreaterThanOrEqual(1);
    expect(step.timeImbalance).toBeGreaterThanOrEqual(1);
    expect(step.loadImbalance).toBeGreaterThanOrEqual(1);
    expect(step.gateShare).toBeGreaterThan(0);
  }

  const printed = (await locmoe('routes', 'traffic', run)).stdout;
  expect(printed).toMatch(/mean of 4\n +from, to +rank 0 +rank 1 +rank 2 +rank 3\n/);
  expect(printed).toMatch(/ +from, to +node 0 +node 1\n/);
  expect(printed).toMatch(/layer 1 dispatch gradient +[\d,]+ +[\d,]+ +([\d,]+) +\1 +0\n/);
  expect(printed).toMatch(/greatest over mean: load of experts \d\.\d\d, time of ranks \d/);
  const one = JSON.parse(
    (await locmoe('routes', 'traffic', run, '--from', '3', '--to', '3', '--json')).stdout,
  );
  expect(one).toMatchObject({ steps: 1, bytes: steps[2].links!.bytes, recorded: null });

  rmSync(path.join(run, 'routes/step-000004-rank-003.parquet'));
  const missing = await locmoe('routes', 'traffic', run);
  expect(missing.stdout).toMatch(/\n1 step with recorded routes[\s\S]*not counted.*: 1 step\n$/);
  const none = await locmoe('routes', 'traffic', run, '--from', '9');
  expect(none).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^locmoe: .*: no step from 9 to the last has bytes by link; .*\n$/),
  });
});

it('compares nothing where the routes are a sample, and has no link of a single rank', async () => {
  const folder = temporaryFolder();
  const sets = ['train.steps=2', ...RECORDED, 'train.recordRoutes.share=0.5'];
  const run = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 2, sets });
  const { recorded } = JSON.parse((await locmoe('routes', 'traffic', run, '--json')).stdout);
  expect(recorded).toMatchObject({
    share: 0.5,
    layers: [{ fromRoutes: null, difference: null }, {}, {}, {}, {}, {}, {}, {}],
  });
  expect((await locmoe('routes', 'traffic', run)).stdout).toMatch(/ 50 % sample .* nothing to compare\n$/);

  const alone = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: ['train.steps=1'] });
  expect((await locmoe('routes', 'traffic', alone)).code).toBe(2);
});

it('expects no gradients of a layer below which nothing is trained', async () => {
  const sets = ['train.steps=2', 'train.only=router', 'moe.router=switch', ...RECORDED];
  const run = await trainToTheEnd({ folder: temporaryFolder(), nodes: 2, workersPerNode: 1, sets });
  const { recorded } = JSON.parse((await locmoe('routes', 'traffic', run, '--json')).stdout);
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
