import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { locmoe, lossCurve, newestRun, startTraining, temporaryFolder, trainToTheEnd } from './support.js';

const HALF = 6;
const STEPS = 12;
const LAYOUT = { nodes: 2, workersPerNode: 2 };
/** The norm of the gradient is summed rank by rank: one that is clipped moves the last bits with the experts. */
const SETS = [
  ...[`train.steps=${STEPS}`, `train.checkpointEvery=${HALF}`, 'train.clipNorm=1000000'],
  ...['moe.numExperts=8', 'moe.router=locmoe-plus', 'moe.capacityFactor=0.9', 'moe.localityLossWeight=0'],
];

function placementIn(folder: string): string {
  const file = path.join(folder, 'placement.json');
  const layers = { 1: [3, 0, 2, 1, 1, 2, 0, 3], 2: [2, 2, 3, 0, 3, 1, 1, 0] };
  writeFileSync(file, JSON.stringify({ version: 1, numExperts: 8, nodes: 2, workersPerNode: 2, layers }));
  return file;
}

/** Bits of all tensors of the last checkpoint of a run. */
function tensorsOf(run: string): Map<string, string> {
  const checkpoint = openCheckpoint(path.join(run, `checkpoints/step-${String(STEPS).padStart(6, '0')}`));
  return new Map(
    Object.keys(checkpoint.manifest.tensors)
      .sort()
      .map((name) => [name, Buffer.from(checkpoint.read(name).buffer).toString('base64')]),
  );
}

it('consecutive and placed experts go on from each other, and after a worker was killed, as if nothing had been', async () => {
  const folder = temporaryFolder();
  const file = placementIn(folder);
  const train = (sets: readonly string[], resume?: string) =>
    trainToTheEnd({
      folder,
      ...LAYOUT,
      sets: [...SETS, ...sets],
      ...(resume === undefined
        ? {}
        : { resume: `${resume}/checkpoints/step-00000${HALF}`, more: ['--fork'] }),
    });
  const contiguous = await train([]);
  const placed = await train([
    `moe.placement=${file}`,
    'train.recordRoutes.every=6',
    'train.recordRoutes.share=1',
  ]);
  const [reference, tensors] = [lossCurve(contiguous), tensorsOf(contiguous)];
  expect(reference.size).toBe(STEPS);
  expect(lossCurve(placed)).toEqual(reference);
  expect(tensorsOf(placed)).toEqual(tensors);
  // Recorded links are those over which bytes went.
  const traffic = JSON.parse((await locmoe('routes', 'traffic', placed, '--json')).stdout);
  expect(traffic.recorded.layers.length).toBeGreaterThan(0);
  for (const { difference } of traffic.recorded.layers) expect(difference).toBe(0);

  const then = await train([`moe.placement=${file}`], contiguous);
  const back = await train(['moe.placement=null'], placed);
  for (const run of [then, back]) {
    const curve = lossCurve(run);
    expect([...curve.keys()]).toEqual([...reference.keys()].slice(HALF));
    for (const [step, loss] of curve) expect(loss).toBe(reference.get(step));
    expect(tensorsOf(run)).toEqual(tensors);
  }

  // The file is not needed by a run that has begun.
  const run = startTraining({
    folder,
    ...LAYOUT,
    sets: [
      ...SETS,
      `moe.placement=${file}`,
      ...['cluster.maxRestarts=3', 'train.snapshotEvery=2', 'train.steps=24'],
    ],
  });
  await run.until(/step +1\//);
  rmSync(file);
  await run.until(/step +(?:[5-9]|1\d)\//);
  process.kill(run.pidsOf('worker').at(-1)!, 'SIGKILL');
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(0);
  const recovered = newestRun(folder);
  const starts = readJournal(path.join(recovered, 'journal.ndjson')).flatMap((entry) =>
    entry.type === 'generation' ? [entry.from.kind] : [],
  );
  expect(starts).toHaveLength(2);
  const whole = await trainToTheEnd({ folder, ...LAYOUT, sets: [...SETS, 'train.steps=24'] });
  expect(lossCurve(recovered)).toEqual(lossCurve(whole));
}, 300_000);
