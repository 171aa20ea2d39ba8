import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { NIGHTLY } from '../nightly.js';
import { runCommand } from '../run-command.js';
import { lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd, UNHURRIED } from './support.js';

const STEPS = 8;
// By day worker/layouts.test.ts stands for two workers on each of two nodes.
const LAYOUT = { nodes: 2, workersPerNode: NIGHTLY ? 2 : 1 };
/** The gradient norm is summed rank by rank, so clipping would let the placement of experts change the last bits. */
const SETS = [
  `train.steps=${STEPS}`,
  'train.checkpointEvery=2',
  'train.clipNorm=1000000',
  'moe.numExperts=8',
  'moe.router=locmoe-plus',
  'moe.capacityFactor=0.9',
  'moe.localityLossWeight=0',
];
const LAYERS = NIGHTLY
  ? { 1: [3, 0, 2, 1, 1, 2, 0, 3], 2: [2, 2, 3, 0, 3, 1, 1, 0] }
  : { 1: [1, 0, 1, 0, 0, 1, 0, 1], 2: [1, 1, 1, 0, 1, 0, 0, 0] };

/** Bits of all tensors of the last checkpoint of a run. */
function tensorsOf(run: string): Map<string, string> {
  const checkpoint = openCheckpoint(path.join(run, `checkpoints/step-00000${STEPS}`));
  return new Map(
    Object.keys(checkpoint.manifest.tensors)
      .sort()
      .map((name) => [name, Buffer.from(checkpoint.read(name).buffer).toString('base64')]),
  );
}

it('consecutive and placed experts go on from each other, and after a worker was killed, as if nothing had been', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'placement.json');
  writeFileSync(file, JSON.stringify({ version: 1, numExperts: 8, ...LAYOUT, layers: LAYERS }));
  const placing = `moe.placement=${file}`;
  const contiguous = await trainToTheEnd({ folder, ...LAYOUT, sets: SETS });
  const [reference, tensors] = [lossCurve(contiguous), tensorsOf(contiguous)];
  expect(reference.size).toBe(STEPS);
  const goesOnFrom = async (run: string, step: number, ...sets: string[]) => {
    const resume = path.join(run, `checkpoints/step-00000${step}`);
    const next = await trainToTheEnd({
      folder,
      ...LAYOUT,
      sets: [...SETS, ...sets],
      resume,
      more: ['--fork'],
    });
    expect([...lossCurve(next)]).toEqual([...reference].slice(step));
    expect(tensorsOf(next)).toEqual(tensors);
    return next;
  };
  const recording = ['train.recordRoutes.every=4', 'train.recordRoutes.share=1'];
  const placed = await goesOnFrom(contiguous, 2, placing, ...recording);
  await goesOnFrom(placed, 6, 'moe.placement=null');
  // Recorded links are those over which bytes went.
  const traffic = JSON.parse((await runCommand('routes', 'traffic', placed, '--json')).stdout);
  expect(traffic.recorded.layers.length).toBeGreaterThan(0);
  for (const { difference } of traffic.recorded.layers) expect(difference).toBe(0);

  // The file is not needed by a run that has begun.
  const restarting = ['cluster.maxRestarts=3', 'cluster.spares=0', 'train.snapshotEvery=2'];
  const sets = [...SETS, placing, ...restarting];
  const run = startTraining({ folder, ...LAYOUT, sets, env: UNHURRIED });
  await run.until(/step +1\//);
  rmSync(file);
  await run.until(/checkpoint at step 4/);
  process.kill(run.pidsOf('worker').at(-1)!, 'SIGKILL');
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  const recovered = newestRun(folder);
  const generations = readJournal(path.join(recovered, 'journal.ndjson')).filter(
    ({ type }) => type === 'generation',
  );
  expect(generations).toHaveLength(2);
  expect(lossCurve(recovered)).toEqual(reference);
  expect(tensorsOf(recovered)).toEqual(tensors);
});
