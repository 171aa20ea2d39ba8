import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROUTER_NAMES, type RouterName } from '../../src/routing/index.js';
import { withBfloat16 } from '../with-onednn.js';
import { lossCurve, temporaryFolder, trainToTheEnd } from './support.js';

const LAYOUTS = [
  [1, 2],
  [2, 1],
  [2, 2],
] as const;
const STEPS = 30;
const TOLERANCE = 1e-4;

/**
 * Settings under which no token is dropped and no loss looks at the layout: the locality loss is about nodes, and expert
 * choice is about dropping.
 */
const SETS: Readonly<Partial<Record<RouterName, readonly string[]>>> = {
  locmoe: ['moe.localityLossWeight=0', 'moe.tokenPreference=4'],
  'locmoe-plus': ['moe.localityLossWeight=0', 'moe.selection=tcr'],
  // Without level 1, so that a device group has two experts to choose from.
  moge: ['moe.expertGroups=1', 'moe.tokenPreference=2'],
};

const LENGTH = [`train.steps=${STEPS}`];
const OVERLAPPED = [...LENGTH, 'cluster.exchange=hierarchical', 'cluster.overlapDegree=2'];
const MICRO_BATCHES = [...OVERLAPPED, 'train.microBatches=2', 'train.steps=10'];
const IN_TURN = [...LENGTH, 'cluster.exchange=flat', 'cluster.overlapDegree=1'];

const curves = new Map<string, Promise<ReadonlyMap<number, number>>>();

/** The loss curve of a training; one that several tests look at is trained once. */
function curveOf(router: RouterName, nodes: number, workersPerNode: number, cluster = OVERLAPPED) {
  const sets = [`moe.router=${router}`, ...cluster, ...(SETS[router] ?? [])];
  const key = JSON.stringify([nodes, workersPerNode, sets]);
  const known = curves.get(key);
  if (known) return known;
  const curve = trainToTheEnd({ folder: temporaryFolder(), nodes, workersPerNode, sets }).then(lossCurve);
  curves.set(key, curve);
  return curve;
}

/** Greatest relative difference of two curves. */
function difference(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number {
  return Math.max(...[...a].map(([step, loss]) => Math.abs(b.get(step)! - loss) / loss));
}

describe.each(ROUTER_NAMES)('the result does not depend on the layout: %s', (router) => {
  it('1x1, 1x2, 2x1 and 2x2 give the same loss curve', async () => {
    const reference = await curveOf(router, 1, 1);
    expect(reference.size).toBe(STEPS);
    // A curve that does not move would agree with any other.
    expect(reference.get(STEPS)!).toBeLessThan(reference.get(1)! - 0.5);
    for (const [nodes, workersPerNode] of LAYOUTS) {
      const curve = await curveOf(router, nodes, workersPerNode);
      expect(curve.size).toBe(STEPS);
      expect(difference(reference, curve), `${nodes}x${workersPerNode}`).toBeLessThan(TOLERANCE);
    }
  }, 180_000);

  it('with micro-batches too', async () => {
    const [alone, spread] = [
      await curveOf(router, 1, 1, MICRO_BATCHES),
      await curveOf(router, 2, 2, MICRO_BATCHES),
    ];
    expect(spread.size).toBe(10);
    expect(alone.get(10)!).toBeLessThan(alone.get(1)! - 0.5);
    expect(difference(alone, spread)).toBeLessThan(TOLERANCE);
  }, 120_000);

  it('the hierarchical exchange behind the experts and the flat one before them give the same bits', async () => {
    const overlapped = await curveOf(router, 2, 2);
    const inTurn = await curveOf(router, 2, 2, IN_TURN);
    expect([...inTurn]).toEqual([...overlapped]);
  }, 120_000);
});

it('exchange auto times both forms, says which it took and why, and changes no bit', async () => {
  const sets = ['moe.router=switch', 'cluster.exchange=auto', 'cluster.overlapDegree=4', ...LENGTH];
  const run = await trainToTheEnd({ folder: temporaryFolder(), nodes: 2, workersPerNode: 2, sets });
  expect([...lossCurve(run)]).toEqual([...(await curveOf('switch', 2, 2, IN_TURN))]);
  const log = readFileSync(path.join(run, 'logs', 'node-0.ndjson'), 'utf8');
  expect(log).toMatch(
    /exchange between nodes: (hierarchical|flat); \d+ bytes for each other rank took [\d.]+ ms hierarchical, [\d.]+ ms flat/,
  );
});

it('overlapDegree auto tries both, says which it took and why, and changes no bit', async () => {
  // The trial begins in the 31st step.
  const steps = ['train.steps=55', 'train.validateEvery=55', 'train.checkpointEvery=55'];
  const sets = ['moe.router=switch', 'cluster.exchange=flat', 'cluster.overlapDegree=auto', ...steps];
  const run = await trainToTheEnd({ folder: temporaryFolder(), nodes: 2, workersPerNode: 1, sets });
  const inTurn = await curveOf('switch', 2, 1, [...IN_TURN, ...steps]);
  expect(inTurn.size).toBe(55);
  expect([...lossCurve(run)]).toEqual([...inTurn]);
  const log = readFileSync(path.join(run, 'logs', 'node-0.ndjson'), 'utf8');
  expect(log).toMatch(
    /exchanges between nodes are (not )?overlapped with experts: a step took [\d.]+ ms without, [\d.]+ ms with it/,
  );
});

withBfloat16('in bfloat16', () => {
  const BFLOAT16 = ['moe.router=locmoe', 'moe.localityLossWeight=0', 'train.precision=bfloat16'];
  const curve = async (nodes: number, workersPerNode: number, ...more: readonly string[]) =>
    lossCurve(
      await trainToTheEnd({ folder: temporaryFolder(), nodes, workersPerNode, sets: [...BFLOAT16, ...more] }),
    );

  it('the same layout gives the same bits, overlapped or not; another the same curve to 1 %', async () => {
    const spread = await curve(2, 2, ...OVERLAPPED);
    expect([...(await curve(2, 2, ...OVERLAPPED))]).toEqual([...spread]);
    expect([...(await curve(2, 2, ...IN_TURN))]).toEqual([...spread]);
    expect(difference(await curve(1, 1, ...LENGTH), spread)).toBeLessThan(0.01);
    // Operands are rounded, and what comes of it is not far from float32.
    const float32 = await curveOf('locmoe', 2, 2);
    expect([...spread]).not.toEqual([...float32]);
    expect(difference(spread, float32)).toBeLessThan(0.01);
  }, 180_000);
});

it('TensorFlow gives the curve of oneDNN', async () => {
  const sets = ['moe.router=switch', ...OVERLAPPED];
  const env = { LOCMOE_KERNELS: 'tensorflow' };
  const run = await trainToTheEnd({ folder: temporaryFolder(), nodes: 2, workersPerNode: 1, sets, env });
  expect(difference(lossCurve(run), await curveOf('switch', 2, 1))).toBeLessThan(TOLERANCE);
}, 120_000);
