import { spawnRanks } from '@locmoe/test-kit';
import { beforeAll, describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { type LayoutCase, STEPS, trainLayout } from './layout-cases.js';

/** Beside one rank; two workers of one node are among the four, and in e2e/layout-law.test.ts. */
const LAYOUTS = [
  [2, 1],
  [2, 2],
] as const;
const TOLERANCE = 1e-4;
const OVERLAPPED = { exchange: 'hierarchical', overlapDegree: 2 } as const;
const IN_TURN = { exchange: 'flat', overlapDegree: 1 } as const;

/** Nothing is dropped, and no loss looks at the layout: the locality loss is about nodes, expert choice about dropping. */
const ROUTERS = ROUTER_NAMES.map((router): LayoutCase['moe'] => ({
  router,
  capacityFactor: null,
  localityLossWeight: 0,
  selection: 'tcr',
  // A device group of four ranks has one expert; without level 1 it has two to choose from.
  ...(router === 'moge' && { numExperts: 8, expertGroups: 1 }),
}));
/** Of each router: overlapped, in turn, in micro-batches. */
const CASES = ROUTERS.flatMap((moe): LayoutCase[] => [
  { moe, cluster: OVERLAPPED, microBatches: 1 },
  { moe, cluster: IN_TURN, microBatches: 1 },
  { moe, cluster: OVERLAPPED, microBatches: 2 },
]);

/** The loss curve of each case in a layout, over all ranks. The processes of a layout start once and do all cases. */
async function curvesOf(numNodes: number, workersPerNode: number): Promise<number[][]> {
  const { ranks } = await spawnRanks<number[][]>(
    { numNodes, workersPerNode },
    new URL('./layouts.program.ts', import.meta.url),
    { args: CASES, abortOnFailure: true },
  );
  const results = ranks.map(({ result, error }) => result ?? expect.fail(error?.message));
  return CASES.map((_, k) =>
    Array.from(
      { length: STEPS },
      (_, step) => results.reduce((sum, curves) => sum + curves[k][step], 0) / results.length,
    ),
  );
}

describe('the result does not depend on the layout', () => {
  let alone: number[][];
  const spread = new Map<string, number[][]>();

  beforeAll(async () => {
    alone = CASES.map((each) => trainLayout(soloTransport(), each));
    for (const [nodes, workers] of LAYOUTS) spread.set(`${nodes}x${workers}`, await curvesOf(nodes, workers));
  });

  describe.each(ROUTER_NAMES.map((name, i) => [name, 3 * i] as const))('%s', (_, first) => {
    it('1x1, 2x1 and 2x2 give the same loss curve, in micro-batches too', () => {
      for (const k of [first, first + 2]) {
        // A curve that does not move would agree with any other.
        expect(alone[k].at(-1)!).toBeLessThan(alone[k][0] - 0.5);
        for (const [layout, curves] of spread)
          for (const [step, loss] of alone[k].entries())
            expect(Math.abs(curves[k][step] / loss - 1), `${layout}, step ${step + 1}`).toBeLessThan(
              TOLERANCE,
            );
      }
    });

    it('the hierarchical exchange behind the experts and the flat one before them give the same bits', () => {
      for (const curves of spread.values()) expect(curves[first + 1]).toEqual(curves[first]);
    });
  });
});
