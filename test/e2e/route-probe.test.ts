import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { readRoutes } from '@locmoe/run-format/routes-file';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readProbe } from '../../src/evaluation/routes/probe.js';
import { filesIn, lossCurve, trainToTheEnd } from './support.js';

const STEPS = 20;
const SETS = [
  'train.probeRoutes=true',
  `train.steps=${STEPS}`,
  'train.precision=float32',
  'train.checkpointEvery=10',
  // A router whose table counts the choices of training passes, so that one pass more would change the losses.
  'moe.router=switch',
  'moe.tableAfter=9',
];
/** The powers of two, each second step, which is the 16th part of the run rounded up, and the untrained model. */
const RECORDED = [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20];

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-probe-'));
afterAll(() => rmSync(root, { recursive: true }));
const newFolder = () => mkdtempSync(path.join(root, 'run-'));

function train(nodes: number, workersPerNode: number, sets: readonly string[] = [], resume?: string) {
  const more = resume === undefined ? {} : { resume, more: ['--fork'] };
  return trainToTheEnd({ folder: newFolder(), nodes, workersPerNode, sets: [...SETS, ...sets], ...more });
}

const filesOf = (run: string) => {
  const { probe } = new RunFolder(run);
  return Object.keys(filesIn(probe)).map((name) => path.join(probe, name));
};

async function probeOf(run: string) {
  return readProbe({
    name: '',
    numExperts: 4,
    expertsOfDomain: {},
    files: filesOf(run),
    textsOf: (ids) => ids.map(String),
  });
}

describe('train.probeRoutes', () => {
  let single: string;
  let spread: string;
  beforeAll(async () => {
    single = await train(1, 1);
    spread = await train(2, 1);
  });

  it('routes the same text at the same steps in every layout, with the same choices', async () => {
    const [own, other] = [await probeOf(single), await probeOf(spread)];
    expect(own.steps).toEqual(RECORDED);
    expect(own.texts.map(({ domain, ids }) => [domain, ids.length])).toEqual([
      ['en', 32],
      ['en', 32],
      ['code', 32],
      ['code', 32],
    ]);
    expect(own.layers).toEqual([1, 2]);
    // A gate that learns changes some choices, and an expert of each group is chosen.
    expect(new Set(own.experts.map(String)).size).toBeGreaterThan(3);
    expect(new Set(own.experts.flat().join(' ').split(/[ ,]/)).size).toBeGreaterThanOrEqual(4);
    expect(other).toEqual(own);
    // Two ranks route two sequences each.
    const rows = await Promise.all(filesOf(spread).slice(0, 2).map(readRoutes));
    expect(rows.map((each) => new Set(each.map(({ sequence }) => sequence)).size)).toEqual([2, 2]);
  });

  it('changes no bit of the training, and can be switched off', async () => {
    const without = await train(2, 1, ['train.probeRoutes=false']);
    expect(filesOf(spread)).toHaveLength(2 * RECORDED.length);
    expect(existsSync(new RunFolder(without).probe)).toBe(false);
    expect(lossCurve(without)).toEqual(lossCurve(spread));
  });

  it('goes on after a checkpoint', async () => {
    const resumed = await train(1, 1, [], path.join(single, 'checkpoints/step-000010'));
    const [whole, part] = [await probeOf(single), await probeOf(resumed)];
    expect(part.steps).toEqual(RECORDED.filter((step) => step > 10));
    expect(part.experts).toEqual(whole.experts.slice(-part.steps.length));
  });
});
