import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Layout, spawnRanks } from '@locmoe/test-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { NIGHTLY } from '../nightly.js';
import { sum } from '../routing/context.js';
import { withBfloat16 } from '../with-onednn.js';
import { EXPERTS, expertLaws } from './expert-laws.js';
import { type LayoutCase, trainLayout } from './layout-cases.js';
import { PLACED, placedLaws } from './placed-laws.js';
import { SELECTIONS, selectionLaws } from './selection-laws.js';
import { trafficIn, trafficLaws } from './traffic-laws.js';
import type { WorldResult, WorldTask } from './worlds.program.js';

/** This layout has several ranks in a node, several nodes, and fewer experts on a rank, all at once. */
const WHOLE: Layout = { numNodes: 2, workersPerNode: 2 };
/** Layouts that are compared with one rank; by night also several nodes or several workers alone. */
const LAYOUTS: readonly Layout[] = NIGHTLY
  ? [
      { numNodes: 1, workersPerNode: 2 },
      { numNodes: 1, workersPerNode: 4 },
      { numNodes: 2, workersPerNode: 1 },
      WHOLE,
    ]
  : [WHOLE];
const TOLERANCE = 1e-4;
/** Time that the ranks of one layout have, on a machine that does other work. */
const DEADLINE_MS = 300_000;
const OVERLAPPED = { exchange: 'hierarchical', overlapDegree: 2 } as const;
const IN_TURN = { exchange: 'flat', overlapDegree: 1 } as const;

/**
 * Settings under which no token is dropped and no loss depends on the layout or the micro-batches: the locality loss depends
 * on nodes, the balance loss on micro-batches, expert choice on dropping.
 */
const FREE = {
  capacityFactor: null,
  auxiliaryLossWeight: 0,
  localityLossWeight: 0,
  selection: 'tcr',
} as const;
/** A capacity that is never reached, with which a single rank has micro-batches too: the balance losses are then the same. */
const BALANCED = { capacityFactor: 100 } as const;
const WIDE: Readonly<Record<string, LayoutCase['moe']>> = {
  // A device group of four ranks has only one expert; without level 1 there are two to choose from.
  moge: { numExperts: 8, expertGroups: 1 },
  // Hash routing is tested in bfloat16 too.
  hash: { numExperts: 8, dFeedForward: 8, sharedExperts: 2, expertsPerToken: 2, lookBack: 1 },
  // Biases that move far in few steps.
  deepseek: { numExperts: 8, expertsPerToken: 2, maxDeviceGroups: 1, biasUpdateRate: 0.05 },
};
/** The family llama, with heads that share keys and values, attention biases and head norms. */
const LLAMA = { family: 'llama', numKeyValueHeads: 1, attentionBias: true, qkNorm: true } as const;
const LORA: LayoutCase['lora'] = { rank: 4, alpha: 16, on: ['attention', 'experts'] };
type Named = readonly [
  name: string,
  moe: LayoutCase['moe'],
  model?: LayoutCase['model'],
  lora?: LayoutCase['lora'],
];
/** Every router once; top 2, the family llama, LoRA pairs, shared experts and dropped tokens are spread over them. */
const BY_DAY: readonly Named[] = [
  ['deepseek', { router: 'deepseek', ...FREE, ...WIDE.deepseek }],
  // Its experts choose among the tokens of all ranks, so that dropping does not depend on the layout.
  ['expert-choice, tokens dropped', { router: 'expert-choice', capacityFactor: 1.25 }],
  ['hash', { router: 'hash', ...FREE, ...WIDE.hash }],
  ['llama, pairs, locmoe', { router: 'locmoe', ...FREE }, LLAMA, LORA],
  ['locmoe-plus', { router: 'locmoe-plus', ...FREE }],
  ['moge', { router: 'moge', ...BALANCED, ...WIDE.moge }],
  ['switch, top 2', { router: 'switch', numExperts: 8, expertsPerToken: 2, ...BALANCED }],
];
const BY_NIGHT: readonly Named[] = [
  ['expert-choice', { router: 'expert-choice', ...FREE }],
  ['locmoe', { router: 'locmoe', ...FREE }],
  ['switch', { router: 'switch', ...FREE }],
  [
    'llama, hash',
    { router: 'hash', ...FREE, dFeedForward: 8, sharedExperts: 2, sharedExpertGate: true },
    LLAMA,
  ],
  ['pairs, hash', { router: 'hash', ...FREE, sharedExperts: 2 }, {}, LORA],
  ['llama, switch, top 2', { router: 'switch', numExperts: 8, expertsPerToken: 2, ...FREE }, LLAMA],
  ['llama, locmoe-plus', { router: 'locmoe-plus', ...FREE }, LLAMA],
];
/** A new router is tested even without a line above. */
const OTHERS = ROUTER_NAMES.filter((name) => BY_DAY.every(([, { router }]) => router !== name)).map(
  (router): Named => [router, { router, ...FREE }],
);
const ROUTERS = [...BY_DAY, ...OTHERS, ...(NIGHTLY ? BY_NIGHT : [])];
/**
 * A single rank has the whole batch. Other layouts have it in micro-batches, with the overlapped exchange and without,
 * and by night as a whole too. Which tokens are dropped depends on the micro-batches, so with a capacity factor the
 * single rank has them too.
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

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-layouts-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function worldOf(layout: Layout, task: Partial<WorldTask>): Promise<WorldResult[]> {
  const none = { layouts: [], selections: [], traffic: [], placed: [], experts: [], folder };
  const program = new URL('./worlds.program.ts', import.meta.url);
  const { ranks } = await spawnRanks<WorldResult>(layout, program, {
    args: { ...none, ...task },
    abortOnFailure: true,
    deadlineMs: DEADLINE_MS,
  });
  return ranks.map(({ result, error }) => result ?? expect.fail(error?.message));
}

/** The mean loss curve of each case over the ranks of a layout. */
function curvesOf(ranks: readonly WorldResult[]): number[][] {
  return ranks[0]!.layouts.map((losses, k) =>
    losses.map((_, step) => sum(ranks.map(({ layouts }) => layouts[k]![step]!)) / ranks.length),
  );
}

/** What each rank of each layout returned. The processes of a layout start once for all cases. */
const worlds = new Map<string, WorldResult[]>();
const nameOf = ({ numNodes, workersPerNode }: Layout) => `${numNodes}x${workersPerNode}`;

beforeAll(
  async () => {
    for (const layout of LAYOUTS) {
      const traffic = trafficIn(layout.numNodes * layout.workersPerNode);
      const ofWhole = layout === WHOLE ? { placed: PLACED, experts: EXPERTS } : {};
      const task = { layouts: CASES, selections: SELECTIONS, traffic, ...ofWhole };
      worlds.set(nameOf(layout), await worldOf(layout, task));
    }
  },
  (LAYOUTS.length + 1) * DEADLINE_MS,
);

describe('the result does not depend on the layout', () => {
  let alone: number[][];
  /** The loss curve of each case in each layout, over all ranks. */
  const spread = new Map<string, number[][]>();

  beforeAll(() => {
    alone = ALONE.map((each) => trainLayout(soloTransport(), each));
    for (const [layout, ranks] of worlds) spread.set(layout, curvesOf(ranks));
  });

  describe.each(ROUTERS.map(([name], i) => [name, i] as const))('%s', (_, i) => {
    /** LoRA pairs on a model that was never trained can reduce the loss less. */
    const least = ALONE[i].lora === undefined ? 0.5 : 0.2;
    const ofForms = (curves: number[][]) => curves.slice(i * FORMS, (i + 1) * FORMS);

    it('every layout gives the same loss curve, in micro-batches too', () => {
      // A constant curve would agree with any other constant one.
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
    // A process computes in one precision, so these cases have ranks of their own.
    it('the forms give the same bits, and nearly the curve of float32', async () => {
      const curves = curvesOf(await worldOf({ numNodes: 2, workersPerNode: 1 }, { layouts: IN_BFLOAT16 }));
      for (const [k, i] of HASH.entries()) {
        const [overlapped, inTurn] = curves.slice(2 * k);
        expect(inTurn).toEqual(overlapped);
        // Rounding must have an effect, or the test shows nothing.
        expect(overlapped).not.toEqual(alone[i]);
        for (const [step, loss] of alone[i].entries())
          expect(Math.abs(overlapped[step] / loss - 1), `step ${step + 1}`).toBeLessThan(0.01);
      }
    });
  });
});

describe('in each layout', () => {
  selectionLaws(
    () => new Map([...worlds].map(([name, ranks]) => [name, ranks.map((rank) => rank.selections)])),
  );

  for (const layout of LAYOUTS)
    describe(nameOf(layout), () =>
      trafficLaws(layout, () => worlds.get(nameOf(layout))!.map(({ traffic }) => traffic)),
    );
});

describe('on two nodes of two workers', () => {
  const whole = () => worlds.get(nameOf(WHOLE))!;
  placedLaws(() => whole().map(({ placed }) => placed));
  expertLaws(folder, () => whole().map(({ experts }) => experts));
});
