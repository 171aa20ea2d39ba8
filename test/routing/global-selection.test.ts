import { describe, expect, it } from 'vitest';
import type { RunConfig } from '../../src/config/schema.js';
import { expectClose } from '../model/support.js';
import { spawnRanks } from '../spawn-ranks.js';

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

async function run(nodes: number, workersPerNode: number, args: SelectionCase): Promise<SelectionResult[]> {
  const { ranks } = await spawnRanks<SelectionResult>({ numNodes: nodes, workersPerNode }, program, { args });
  return ranks.map(({ result, error }) => {
    if (!result) throw new Error(error?.line ?? 'no result');
    return result;
  });
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const base = { router: 'locmoe-plus', numExperts: 4, capacityFactor: 0.8, capacityInterval: 2 } as const;

describe.each([
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
  ['hash', { router: 'hash', numExperts: 4, capacityFactor: 0.8 }, 1],
  ['switch, groups', { router: 'switch', numExperts: 4, expertGroups: 2, capacityFactor: 0.8 }, 3],
  [
    'locmoe, capacity estimated after two steps',
    { ...base, router: 'locmoe', capacityBatches: 2, affinityShare: 0.5, localityLossWeight: 0.5 },
    1,
  ],
] as const)('%s', (_, moe, numDomains) => {
  it('is the same for one, two and four ranks, with tokens dropped and ties', async () => {
    const args = { moe, numDomains };
    const [reference] = await run(1, 1, args);
    const [first] = reference.steps;
    expect(first.kept).toBeLessThan(first.routed);
    const losses = new Map<string, number[]>();
    for (const [nodes, workers] of [[1, 2] as const, [1, 4] as const, [2, 1] as const, [2, 2] as const]) {
      const ranks = await run(nodes, workers, args);
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
        `${nodes}x${workers}`,
        reference.steps.map((_step, step) => mean(ranks.map(({ steps }) => steps[step].auxiliaryLoss))),
      );
    }
    // The locality loss knows nodes, not workers.
    const oneNode = reference.steps.map(({ auxiliaryLoss }) => auxiliaryLoss);
    expectClose(losses.get('1x2')!, oneNode, 1e-6);
    expectClose(losses.get('1x4')!, oneNode, 1e-6);
    expectClose(losses.get('2x2')!, losses.get('2x1')!, 1e-6);
  }, 120_000);
});
