import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { withBfloat16 } from '../with-onednn.js';
import { lossCurve, trainToTheEnd } from './support.js';

// Tests the law at full length, through the command line and with two built-in routers. test/worker/layouts.test.ts
// tests every router, with ranks alone, and also that all forms of the exchange give the same bits.

/** The trial of the overlap begins in the 31st step and ends with the 50th. */
const STEPS = 52;
const SOME_STEPS = 12;
const TOLERANCE = 1e-4;

/**
 * No token is dropped, and no loss depends on the layout: the locality loss depends on nodes, expert choice on
 * dropping.
 */
const SETS = [
  'moe.router=locmoe-plus',
  'moe.localityLossWeight=0',
  'moe.selection=tcr',
  // With a constant schedule a shorter run has the same steps as the beginning of a longer one.
  'train.schedule=constant',
];
const OVERLAPPED = ['cluster.exchange=hierarchical', 'cluster.overlapDegree=2'];
const IN_TURN = ['cluster.exchange=flat', 'cluster.overlapDegree=1'];
const AUTO = ['cluster.exchange=auto', 'cluster.overlapDegree=auto'];
const BFLOAT16 = 'train.precision=bfloat16';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-layout-law-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Options {
  readonly steps?: number;
  readonly env?: Readonly<Record<string, string>>;
}

function train(nodes: number, workersPerNode: number, sets: readonly string[], options: Options = {}) {
  return trainToTheEnd({
    folder,
    nodes,
    workersPerNode,
    sets: [...SETS, `train.steps=${options.steps ?? STEPS}`, ...sets],
    env: options.env ?? {},
  });
}

async function curveOf(...options: Parameters<typeof train>): Promise<ReadonlyMap<number, number>> {
  return lossCurve(await train(...options));
}

/** Greatest relative difference of two curves, over the steps of the first. */
function difference(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number {
  return Math.max(...[...a].map(([step, loss]) => Math.abs(b.get(step)! - loss) / loss));
}

let whole: ReadonlyMap<number, number>;
let spread: ReadonlyMap<number, number>;
let log: string;
beforeAll(async () => {
  whole = await curveOf(1, 1, OVERLAPPED);
  const run = await train(2, 2, AUTO);
  spread = lossCurve(run);
  log = readFileSync(path.join(run, 'logs', 'node-0.ndjson'), 'utf8');
});

it('1x1 and 2x2 give the same loss curve', () => {
  expect(whole.size).toBe(STEPS);
  // A constant curve would agree with any other constant one.
  expect(whole.get(STEPS)!).toBeLessThan(whole.get(1)! - 0.5);
  expect(spread.size).toBe(STEPS);
  expect(difference(whole, spread)).toBeLessThan(TOLERANCE);
});

it('exchange auto and overlapDegree auto try both forms, and say which they took and why', () => {
  expect(log).toMatch(
    /exchange between nodes: (hierarchical|flat); \d+ bytes for each other rank took [\d.]+ ms hierarchical, [\d.]+ ms flat/,
  );
  expect(log).toMatch(
    /exchanges between nodes are (not )?overlapped with experts: a step took [\d.]+ ms without, [\d.]+ ms with it/,
  );
});

// By day layouts.test.ts holds layouts against each other with such experts.
it.runIf(NIGHTLY)('1x1 and 2x2 give the same loss curve where experts depend on the ids before', async () => {
  const tables = ['moe.router=hash', 'moe.numExperts=16', 'moe.expertsPerToken=4', 'moe.lookBack=2'];
  const [alone, both] = [
    await curveOf(1, 1, [...OVERLAPPED, ...tables], { steps: SOME_STEPS }),
    await curveOf(2, 2, [...OVERLAPPED, ...tables], { steps: SOME_STEPS }),
  ];
  expect(alone.size).toBe(SOME_STEPS);
  expect(alone.get(SOME_STEPS)!).toBeLessThan(alone.get(1)! - 0.1);
  expect(difference(alone, both)).toBeLessThan(TOLERANCE);
});

describe.runIf(NIGHTLY)('by night', () => {
  // By day the kernels and models are tested on TensorFlow too.
  it('2x1 on TensorFlow gives the curve of 1x1 on oneDNN', async () => {
    const curve = await curveOf(2, 1, OVERLAPPED, { env: { LOCMOE_KERNELS: 'tensorflow' } });
    expect(curve.size).toBe(STEPS);
    expect(difference(curve, whole)).toBeLessThan(TOLERANCE);
  });

  it.each([
    [1, 2],
    [2, 1],
  ])('%ix%i gives the same loss curve', async (nodes, workersPerNode) => {
    const curve = await curveOf(nodes, workersPerNode, OVERLAPPED);
    expect(difference(whole, curve)).toBeLessThan(TOLERANCE);
  });

  it('exchange auto and overlapDegree auto change no bit', async () => {
    expect([...(await curveOf(2, 2, OVERLAPPED))]).toEqual([...spread]);
  });

  withBfloat16('in bfloat16', () => {
    it('the same layout gives the same bits, overlapped or not; another the same curve to 1 %', async () => {
      const overlapped = await curveOf(2, 2, [...OVERLAPPED, BFLOAT16]);
      expect([...(await curveOf(2, 2, [...IN_TURN, BFLOAT16]))]).toEqual([...overlapped]);
      expect(difference(await curveOf(1, 1, [...OVERLAPPED, BFLOAT16]), overlapped)).toBeLessThan(0.01);
      // Operands are rounded, but the result is close to float32.
      expect([...overlapped]).not.toEqual([...spread]);
      expect(difference(overlapped, spread)).toBeLessThan(0.01);
    });
  });
});
