import { spawnRanks } from '@locmoe/test-kit';
import { beforeAll, describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { NIGHTLY } from '../nightly.js';
import { withBfloat16 } from '../with-onednn.js';
import { type LayoutCase, STEPS, trainLayout } from './layout-cases.js';

/** Beside one rank. By day e2e/layout-law.test.ts stands for two ranks, with one router. */
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
const ROUTERS: readonly (readonly [
  name: string,
  LayoutCase['moe'],
  LayoutCase['model']?,
  LayoutCase['lora']?,
])[] = [
  ...ROUTER_NAMES.map((router) => [router, Object.assign({ router }, FREE, WIDE[router])] as const),
  ['switch, top 2', Object.assign({ router: 'switch', numExperts: 8, expertsPerToken: 2 } as const, FREE)],
  // Its experts choose among all ranks, whatever the layout.
  ['expert-choice, tokens dropped', { router: 'expert-choice', capacityFactor: 1.25 }],
  [
    'mixtral, hash',
    { router: 'hash', ...FREE, dFeedForward: 8, sharedExperts: 2, sharedExpertGate: true },
    MIXTRAL,
  ],
  ['pairs, hash', { router: 'hash', ...FREE, sharedExperts: 2 }, {}, LORA],
  ['mixtral, pairs, locmoe', { router: 'locmoe', ...FREE }, MIXTRAL, LORA],
  ['mixtral, switch, top 2', { router: 'switch', numExperts: 8, expertsPerToken: 2, ...FREE }, MIXTRAL],
  ['mixtral, locmoe-plus', { router: 'locmoe-plus', ...FREE }, MIXTRAL],
];
/** Of each router: overlapped, in turn, in micro-batches. */
const CASES = ROUTERS.flatMap(([, moe, model, lora]): LayoutCase[] => [
  { model, moe, lora, cluster: OVERLAPPED, microBatches: 1 },
  { model, moe, lora, cluster: IN_TURN, microBatches: 1 },
  { model, moe, lora, cluster: OVERLAPPED, microBatches: 2 },
]);
/** The choices of hash routing do not depend on the precision. */
const HASH = ['hash', 'mixtral, hash', 'pairs, hash'].map((hash) =>
  ROUTERS.findIndex(([name]) => name === hash),
);
const IN_BFLOAT16 = HASH.flatMap((i) =>
  [OVERLAPPED, IN_TURN].map((cluster): LayoutCase => {
    const [, moe, model, lora] = ROUTERS[i];
    return { model, moe, lora, cluster, precision: 'bfloat16', microBatches: 1 };
  }),
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

describe('the result does not depend on the layout', () => {
  let alone: number[][];
  const spread = new Map<string, number[][]>();

  beforeAll(async () => {
    alone = CASES.map((each) => trainLayout(soloTransport(), each));
    for (const [nodes, workers] of LAYOUTS)
      spread.set(`${nodes}x${workers}`, await curvesOf(CASES, nodes, workers));
  });

  describe.each(ROUTERS.map(([name], i) => [name, 3 * i] as const))('%s', (_, first) => {
    /** Pairs of a model that was never trained have less to win. */
    const least = CASES[first].lora === undefined ? 0.5 : 0.2;

    it('every layout gives the same loss curve, in micro-batches too', () => {
      for (const k of [first, first + 2]) {
        // A curve that does not move would agree with any other.
        expect(alone[k].at(-1)!).toBeLessThan(alone[k][0] - least);
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

  withBfloat16('in bfloat16', () => {
    it('the forms give the same bits, and nearly the curve of float32', async () => {
      const curves = await curvesOf(IN_BFLOAT16, 2, 1);
      for (const [k, i] of HASH.entries()) {
        const [overlapped, inTurn] = curves.slice(2 * k);
        expect(inTurn).toEqual(overlapped);
        // Operands are rounded, or nothing is shown.
        expect(overlapped).not.toEqual(alone[3 * i]);
        for (const [step, loss] of alone[3 * i].entries())
          expect(Math.abs(overlapped[step] / loss - 1), `step ${step + 1}`).toBeLessThan(0.01);
      }
    });
  });
});
