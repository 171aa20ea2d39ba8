import { spawnRanks } from '@locmoe/test-kit';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunConfig } from '../../src/config/schema.js';
import { expectClose } from '../model/support.js';

/** What the ranks of a world are to route. */
export interface SelectionCase {
  readonly moe: Partial<RunConfig['moe']>;
  readonly numDomains: number;
}

export interface SelectionResult {
  readonly steps: readonly {
    readonly chosen: Int32Array;
    readonly capacityE: Float64Array;
    readonly routed: number;
    readonly kept: number;
    readonly auxiliaryLoss: number;
    readonly y: Float32Array;
  }[];
  readonly state: readonly Float32Array[];
}

const program = new URL('./global-selection.program.ts', import.meta.url);

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const base = { router: 'locmoe-plus', numExperts: 4, capacityFactor: 0.8, capacityInterval: 2 } as const;

const CASES = [
  ['locmoe-plus, selection both', { ...base, affinityThreshold: 0.7, localityLossWeight: 0.5 }, 1],
  [
    'locmoe-plus, selection both, groups, learned',
    { ...base, expertGroups: 2, learnedGroups: true, localityLossWeight: 0.5 },
    3,
  ],
  ['locmoe-plus, selection ecr on a schedule', { ...base, selection: 'ecr', selectionSchedule: 'linear' }, 1],
  [
    'locmoe-plus, selection tcr, two experts',
    { ...base, selection: 'tcr', affinityThreshold: 0.9, numExperts: 2, localityLossWeight: 0 },
    1,
  ],
  ['locmoe-plus, random tokens', { ...base, ranking: 'random', affinityThreshold: 0.7 }, 1],
  ['expert-choice', { router: 'expert-choice', numExperts: 4, capacityFactor: 1 }, 1],
  [
    'expert-choice, groups, few candidates',
    {
      router: 'expert-choice',
      numExperts: 8,
      expertGroups: 2,
      capacityFactor: 0.8,
      candidatesPerToken: 2,
      zLossWeight: 0.1,
    },
    3,
  ],
  [
    'moge, groups',
    { router: 'moge', numExperts: 8, expertGroups: 2, deviceGroups: 2, capacityFactor: 0.8 },
    3,
  ],
  [
    'deepseek, groups, of one device group',
    {
      router: 'deepseek',
      numExperts: 8,
      expertGroups: 2,
      expertsPerToken: 2,
      maxDeviceGroups: 1,
      biasUpdateRate: 0.05,
      capacityFactor: 0.8,
      zLossWeight: 0.1,
    },
    3,
  ],
  ['hash', { router: 'hash', numExperts: 4, capacityFactor: 0.8 }, 1],
  ['switch, groups', { router: 'switch', numExperts: 4, expertGroups: 2, capacityFactor: 0.8 }, 3],
  [
    'switch, top 2, groups',
    {
      router: 'switch',
      numExperts: 8,
      expertGroups: 2,
      expertsPerToken: 2,
      capacityFactor: 0.8,
      zLossWeight: 0.1,
    },
    3,
  ],
  [
    'locmoe-plus, one candidate, a table after two steps',
    { ...base, affinityThreshold: 0.7, localityLossWeight: 0.5, maxExpertsPerToken: 1, tableAfter: 2 },
    1,
  ],
  [
    'switch, groups, a table after two steps',
    { router: 'switch', numExperts: 4, expertGroups: 2, capacityFactor: 0.8, tableAfter: 2 },
    3,
  ],
  [
    'locmoe, capacity estimated after two steps',
    { ...base, router: 'locmoe', capacityBatches: 2, affinityShare: 0.5, localityLossWeight: 0.5 },
    1,
  ],
  [
    'locmoe, top 2, capacity estimated after two steps',
    {
      ...base,
      router: 'locmoe',
      expertsPerToken: 2,
      zLossWeight: 0.1,
      capacityBatches: 2,
      affinityShare: 0.5,
      localityLossWeight: 0.5,
    },
    1,
  ],
] as const;

const LAYOUTS = [
  [1, 1],
  [1, 2],
  [2, 1],
  [2, 2],
] as const;

/** What the ranks of each layout chose, case by case. The processes of a layout start once and do all cases. */
const results = new Map<string, SelectionResult[][]>();

beforeAll(async () => {
  const args: SelectionCase[] = CASES.map(([, moe, numDomains]) => ({ moe, numDomains }));
  for (const [numNodes, workersPerNode] of LAYOUTS) {
    const { ranks } = await spawnRanks<SelectionResult[]>({ numNodes, workersPerNode }, program, { args });
    results.set(
      `${numNodes}x${workersPerNode}`,
      ranks.map(({ result, error }) => {
        if (!result) throw new Error(error?.line ?? 'no result');
        return result;
      }),
    );
  }
});

describe.each(CASES.map(([name], index) => [name, index] as const))('%s', (_, index) => {
  it('is the same for one, two and four ranks, with tokens dropped and ties', () => {
    const of = (layout: string) => results.get(layout)!.map((cases) => cases[index]);
    const [reference] = of('1x1');
    const [first] = reference.steps;
    expect(first.kept).toBeLessThan(first.routed);
    const losses = new Map<string, number[]>();
    for (const layout of ['1x2', '2x1', '2x2']) {
      const ranks = of(layout);
      reference.steps.forEach((expected, step) => {
        const parts = ranks.map(({ steps }) => steps[step]);
        expect(parts.flatMap(({ chosen }) => [...chosen])).toEqual([...expected.chosen]);
        for (const { capacityE } of parts) expect(capacityE).toEqual(expected.capacityE);
        expectClose(
          parts.flatMap(({ y }) => [...y]),
          expected.y,
          1e-6,
        );
      });
      for (const { state } of ranks) expect(state).toEqual(reference.state);
      losses.set(
        layout,
        reference.steps.map((_step, step) => mean(ranks.map(({ steps }) => steps[step].auxiliaryLoss))),
      );
    }
    // The locality loss knows nodes, not workers.
    const oneNode = reference.steps.map(({ auxiliaryLoss }) => auxiliaryLoss);
    expectClose(losses.get('1x2')!, oneNode, 1e-6);
    expectClose(losses.get('2x2')!, losses.get('2x1')!, 1e-6);
  });
});
