import { spawnRanks } from '@locmoe/test-kit';
import { beforeAll, describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { NIGHTLY } from '../nightly.js';
import { withBfloat16 } from '../with-onednn.js';
import { type LayoutCase, STEPS, trainLayout } from './layout-cases.js';

/** Beside one rank: ranks in a node, nodes and fewer experts on a rank at once; by night nodes alone, too. */
const LAYOUTS = NIGHTLY
  ? [
      [2, 1],
      [2, 2],
    ]
  : [[2, 2]];
const TOLERANCE = 1e-4;
const OVERLAPPED = { exchange: 'hierarchical', overlapDegree: 2 } as const;
const IN_TURN = { exchange: 'flat', overlapDegree: 1 } as const;

/** Nothing is dropped, and no loss looks at the layout: the locality loss is about nodes, expert choice about dropping. */
const FREE = { capacityFactor: null, localityLossWeight: 0, selection: 'tcr' } as const;
const WIDE: Readonly<Record<string, LayoutCase['moe']>> = {
  // A device group of four ranks has one expert; without level 1 it has two to choose from.
  moge: { numExperts: 8, expertGroups: 1 },
  // It is tried in bfloat16 too.
  hash: { dFeedForward: 8, sharedExperts: 2 },
  // Biases that move far in few steps.
  deepseek: { numExperts: 8, expertsPerToken: 2, maxDeviceGroups: 1, biasUpdateRate: 0.05 },
};
/** The other family, with heads that share keys and values, biases and norms of heads, and narrow and shared experts. */
const MIXTRAL = { family: 'mixtral', numKeyValueHeads: 1, attentionBias: true, qkNorm: true } as const;
const LORA: LayoutCase['lora'] = { rank: 4, alpha: 16, on: ['attention', 'experts'] };
type Named = readonly [
  name: string,
  moe: LayoutCase['moe'],
  model?: LayoutCase['model'],
  lora?: LayoutCase['lora'],
];
/** Every router once, with top 2, the other family, pairs, shared experts and dropped tokens spread over them. */
const BY_DAY: readonly Named[] = [
  ['deepseek', { router: 'deepseek', ...FREE, ...WIDE.deepseek }],
  // Its experts choose among all ranks, whatever the layout.
  ['expert-choice, tokens dropped', { router: 'expert-choice', capacityFactor: 1.25 }],
  ['hash', { router: 'hash', ...FREE, ...WIDE.hash }],
  ['mixtral, pairs, locmoe', { router: 'locmoe', ...FREE }, MIXTRAL, LORA],
  ['locmoe-plus', { router: 'locmoe-plus', ...FREE }],
  ['moge', { router: 'moge', ...FREE, ...WIDE.moge }],
  ['switch, top 2', { router: 'switch', numExperts: 8, expertsPerToken: 2, ...FREE }],
];
const BY_NIGHT: readonly Named[] = [
  ['expert-choice', { router: 'expert-choice', ...FREE }],
  ['locmoe', { router: 'locmoe', ...FREE }],
  ['switch', { router: 'switch', ...FREE }],
  [
    'mixtral, hash',
    { router: 'hash', ...FREE, dFeedForward: 8, sharedExperts: 2, sharedExpertGate: true },
    MIXTRAL,
  ],
  ['pairs, hash', { router: 'hash', ...FREE, sharedExperts: 2 }, {}, LORA],
  ['mixtral, switch, top 2', { router: 'switch', numExperts: 8, expertsPerToken: 2, ...FREE }, MIXTRAL],
  ['mixtral, locmoe-plus', { router: 'locmoe-plus', ...FREE }, MIXTRAL],
];
const ROUTERS = NIGHTLY ? [...BY_DAY, ...BY_NIGHT] : BY_DAY;
/**
 * One rank has the whole batch; others have it overlapped and in turn, in micro-batches, and by night whole too. What is dropped
 * depends on the micro-batches, so then one rank has those as well.
 */
const ALONE = ROUTERS.map(([, moe, model, lora]): LayoutCase => {
  return { model, moe, lora, cluster: OVERLAPPED, microBatches: moe.capacityFactor === null ? 1 : 2 };
});
const FORMS = NIGHTLY ? 3 : 2;
const CASES = ALONE.flatMap((whole) =>
  [{ ...whole, microBatches: 2 }, { ...whole, microBatches: 2, cluster: IN_TURN }, whole].slice(0, FORMS),
);
/** The choices of hash routing do not depend on the precision. */
const HASH = [...ROUTERS.keys()].filter((i) => ROUTERS[i]![1].router === 'hash');
const IN_BFLOAT16 = HASH.flatMap((i) =>
  [OVERLAPPED, IN_TURN].map((cluster): LayoutCase => ({ ...ALONE[i], cluster, precision: 'bfloat16' })),
);

/** The loss curve of each case in a layout, over all ranks. The processes of a layout start once and do all cases. */
async function curvesOf(
  cases: readonly LayoutCase[],
  numNodes: number,
  workersPerNode: number,
): Promise<number[][]> {
  const { ranks } = await spawnRanks<number[][]>(
    { numNodes, workersPerNode },
    new URL('./layouts.program.ts', import.meta.url),
    { args: cases, abortOnFailure: true },
  );
  const results = ranks.map(({ result, error }) => result ?? expect.fail(error?.message));
  return cases.map((_, k) =>
    Array.from(
      { length: STEPS },
      (_, step) => results.reduce((sum, curves) => sum + curves[k][step], 0) / results.length,
    ),
  );
}

it('every router has a case by day', () => {
  expect(BY_DAY.map(([, { router }]) => router).sort()).toEqual([...ROUTER_NAMES].sort());
});

describe('the result does not depend on the layout', () => {
  let alone: number[][];
  const spread = new Map<string, number[][]>();

  beforeAll(async () => {
    alone = ALONE.map((each) => trainLayout(soloTransport(), each));
    for (const [nodes, workers] of LAYOUTS)
      spread.set(`${nodes}x${workers}`, await curvesOf(CASES, nodes, workers));
  });

  describe.each(ROUTERS.map(([name], i) => [name, i] as const))('%s', (_, i) => {
    /** The low-rank pairs of a model that was never trained have less to win. */
    const least = ALONE[i].lora === undefined ? 0.5 : 0.2;
    const ofForms = (curves: number[][]) => curves.slice(i * FORMS, (i + 1) * FORMS);

    it('every layout gives the same loss curve, in micro-batches too', () => {
      // A curve that does not move would agree with any other.
      expect(alone[i].at(-1)!).toBeLessThan(alone[i][0] - least);
      for (const [layout, curves] of spread)
        for (const curve of ofForms(curves))
          for (const [step, loss] of alone[i].entries())
            expect(Math.abs(curve[step] / loss - 1), `${layout}, step ${step + 1}`).toBeLessThan(TOLERANCE);
    });

    it('the hierarchical exchange behind the experts and the flat one before them give the same bits', () => {
      for (const curves of spread.values()) {
        const [overlapped, inTurn] = ofForms(curves);
        expect(inTurn).toEqual(overlapped);
      }
    });
  });

  withBfloat16('in bfloat16', () => {
    it('the forms give the same bits, and nearly the curve of float32', async () => {
      const curves = await curvesOf(IN_BFLOAT16, 2, 1);
      for (const [k, i] of HASH.entries()) {
        const [overlapped, inTurn] = curves.slice(2 * k);
        expect(inTurn).toEqual(overlapped);
        // Operands are rounded, or nothing is shown.
        expect(overlapped).not.toEqual(alone[i]);
        for (const [step, loss] of alone[i].entries())
          expect(Math.abs(overlapped[step] / loss - 1), `step ${step + 1}`).toBeLessThan(0.01);
      }
    });
  });
});
