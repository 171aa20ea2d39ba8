import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { withBfloat16 } from '../with-onednn.js';
import { lossCurve, temporaryFolder, trainToTheEnd } from './support.js';

// The law at full length, by commands and with the product's router. test/worker/layouts.test.ts holds every router to it,
// with ranks alone.

const LAYOUTS = [
  [1, 2],
  [2, 1],
  [2, 2],
] as const;
/** The trial of the overlap begins in the 31st step. */
const STEPS = 55;
const TOLERANCE = 1e-4;

/** No token is dropped, and no loss looks at the layout: the locality loss is about nodes, expert choice about dropping. */
const SETS = ['moe.router=locmoe-plus', 'moe.localityLossWeight=0', 'moe.selection=tcr'];
const OVERLAPPED = ['cluster.exchange=hierarchical', 'cluster.overlapDegree=2'];
const IN_TURN = ['cluster.exchange=flat', 'cluster.overlapDegree=1'];
const AUTO = ['cluster.exchange=auto', 'cluster.overlapDegree=auto'];
const BFLOAT16 = 'train.precision=bfloat16';

function train(nodes: number, workersPerNode: number, sets: readonly string[], env = {}): Promise<string> {
  const steps = `train.steps=${STEPS}`;
  return trainToTheEnd({
    folder: temporaryFolder(),
    nodes,
    workersPerNode,
    sets: [...SETS, steps, ...sets],
    env,
  });
}

async function curveOf(...options: Parameters<typeof train>): Promise<ReadonlyMap<number, number>> {
  return lossCurve(await train(...options));
}

/** Greatest relative difference of two curves. */
function difference(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number {
  return Math.max(...[...a].map(([step, loss]) => Math.abs(b.get(step)! - loss) / loss));
}

let whole: ReadonlyMap<number, number>;
/** Of the last of LAYOUTS. */
let spread: ReadonlyMap<number, number>;

it('1x1, 1x2, 2x1 and 2x2 give the same loss curve', async () => {
  whole = await curveOf(1, 1, OVERLAPPED);
  expect(whole.size).toBe(STEPS);
  // A curve that does not move would agree with any other.
  expect(whole.get(STEPS)!).toBeLessThan(whole.get(1)! - 0.5);
  for (const [nodes, workersPerNode] of LAYOUTS) {
    spread = await curveOf(nodes, workersPerNode, OVERLAPPED);
    expect(spread.size).toBe(STEPS);
    expect(difference(whole, spread), `${nodes}x${workersPerNode}`).toBeLessThan(TOLERANCE);
  }
});

it('exchange auto and overlapDegree auto try both forms, say which they took and why, and change no bit', async () => {
  const run = await train(2, 2, AUTO);
  expect([...lossCurve(run)]).toEqual([...spread]);
  const log = readFileSync(path.join(run, 'logs', 'node-0.ndjson'), 'utf8');
  expect(log).toMatch(
    /exchange between nodes: (hierarchical|flat); \d+ bytes for each other rank took [\d.]+ ms hierarchical, [\d.]+ ms flat/,
  );
  expect(log).toMatch(
    /exchanges between nodes are (not )?overlapped with experts: a step took [\d.]+ ms without, [\d.]+ ms with it/,
  );
});

// By day test/worker/layouts.test.ts stands for it.
describe.runIf(NIGHTLY)('by night', () =>
  withBfloat16('in bfloat16', () => {
    it('the same layout gives the same bits, overlapped or not; another the same curve to 1 %', async () => {
      const overlapped = await curveOf(2, 2, [...OVERLAPPED, BFLOAT16]);
      expect([...(await curveOf(2, 2, [...IN_TURN, BFLOAT16]))]).toEqual([...overlapped]);
      expect(difference(await curveOf(1, 1, [...OVERLAPPED, BFLOAT16]), overlapped)).toBeLessThan(0.01);
      // Operands are rounded, and what comes of it is not far from float32.
      expect([...overlapped]).not.toEqual([...spread]);
      expect(difference(overlapped, spread)).toBeLessThan(0.01);
    });
  }),
);

it('TensorFlow gives the curve of oneDNN', async () => {
  const curve = await curveOf(2, 1, OVERLAPPED, { LOCMOE_KERNELS: 'tensorflow' });
  expect(difference(whole, curve)).toBeLessThan(TOLERANCE);
});
