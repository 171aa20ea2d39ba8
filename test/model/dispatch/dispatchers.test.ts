import { spawnRanks } from '@locmoe/test-kit';
import { beforeAll, describe, expect, it } from 'vitest';
import type { WirePrecision } from '../../../src/collectives/communicator.js';
import { topologyOf } from '../../../src/collectives/topology.js';
import type { RunConfig } from '../../../src/config/schema.js';
import type { RowRange } from '../../../src/model/dispatch/all-to-all-rows.js';
import { scheduleChunks } from '../../../src/model/dispatch/chunk-schedule.js';
import { dispatchLayout } from '../../../src/model/dispatch/dispatch-layout.js';
import { contiguousPlacement } from '../../../src/routing/groups/expert-placement.js';
import { NIGHTLY } from '../../nightly.js';
import { expectClose, randomIntegers } from '../support.js';

export interface OverlapCase {
  readonly moe: Partial<RunConfig['moe']>;
  readonly numTokens: number;
  readonly wire: WirePrecision;
  readonly degrees: readonly number[];
}

export interface OverlapResult {
  readonly values: Readonly<Record<'y' | 'dx' | 'dExperts' | 'dRouter', Float32Array>>;
  /** Choices of experts on other nodes. */
  readonly otherNode: number;
  /** Bytes sent to other nodes in one forward and backward pass. */
  readonly bytesOtherNode: number;
}

export interface DispatchResults {
  /** Results for each degree of overlap, flat and hierarchical. */
  readonly overlapped: readonly OverlapResult[];
  /** Null where experts have replicas. */
  readonly deduplicated: OverlapResult | null;
}

/** Tolerance for rows that are rounded at different places. */
const TOLERANCE: Readonly<Record<WirePrecision, number>> = { float32: 1e-4, bfloat16: 0.1 };

const program = new URL('./dispatchers.program.ts', import.meta.url);
/** By day a layout with peers on the same node and on another one. */
const LAYOUTS = NIGHTLY
  ? ([
      [2, 1],
      [2, 2],
      [3, 2],
    ] as const)
  : ([[2, 2]] as const);
const plus = {
  router: 'locmoe-plus',
  selection: 'tcr',
  affinityThreshold: 0.95,
  maxExpertsPerToken: 3,
} as const;

const CASES = [
  ['switch, many tokens', { router: 'switch', numExperts: 12 }, 61, 'float32'],
  ['switch, experts with few rows or none', { router: 'switch', numExperts: 12 }, 3, 'float32'],
  ['locmoe-plus, several experts a token', { ...plus, numExperts: 12 }, 40, 'float32'],
  ['locmoe-plus, rows in bfloat16', { ...plus, numExperts: 12 }, 40, 'bfloat16'],
  ['hash, fewer experts than ranks', { router: 'hash', numExperts: 2 }, 20, 'float32'],
] as const;

describe.each(LAYOUTS)('sparse layers on %ix%i', (numNodes, workersPerNode) => {
  let results: DispatchResults[][];

  // The processes start once and do all cases.
  beforeAll(async () => {
    const args = CASES.map(
      ([, moe, numTokens, wire]): OverlapCase => ({ moe, numTokens, wire, degrees: [1, 3] }),
    );
    const { ranks } = await spawnRanks<DispatchResults[]>({ numNodes, workersPerNode }, program, { args });
    results = ranks.map(({ result, error }) => {
      if (!result) throw new Error(error?.line ?? 'no result');
      return result;
    });
  });

  it.each(CASES.map(([name, moe, , wire], index) => [name, moe, wire, index] as const))(
    'overlapped give the same bits as one after the other, deduplicated the same values: %s',
    (_, moe, wire, index) => {
      const totals = { otherNode: 0, bytes: 0, deduplicatedBytes: 0 };
      for (const rank of results) {
        const result = rank[index];
        const [reference, ...others] = result.overlapped;
        expect(reference.values.y.some((value) => value !== 0)).toBe(true);
        expect(reference.values.dExperts.every(Number.isFinite)).toBe(true);
        for (const other of others) expect(other.values).toEqual(reference.values);
        totals.otherNode += reference.otherNode;
        totals.bytes += reference.bytesOtherNode;
        totals.deduplicatedBytes += result.deduplicated?.bytesOtherNode ?? 0;
        if (result.deduplicated !== null)
          for (const name of ['y', 'dx', 'dExperts', 'dRouter'] as const)
            expectClose(result.deduplicated.values[name], reference.values[name], TOLERANCE[wire]);
      }
      // With replicas of every expert on each node nothing crosses.
      if (moe.numExperts === 12) expect(totals.otherNode).toBeGreaterThan(0);
      if (moe.router === 'locmoe-plus') expect(totals.deduplicatedBytes).toBeLessThan(0.85 * totals.bytes);
    },
  );
});

describe('the schedule of an overlapped layer', () => {
  it.each([
    [2, 2, 1],
    [2, 2, 2],
    [3, 2, 4],
    [4, 1, 2],
    [2, 1, 4],
  ])('cuts every row into one piece of work and one message: %ix%i, degree %i', (nodes, workers, degree) => {
    const W = nodes * workers;
    const numExperts = 2 * W;
    const keptOfRank = Array.from({ length: W }, (_, rank) => randomIntegers(`kept ${rank}`, numExperts, 4));
    for (let rank = 0; rank < W; rank++) {
      const keptE = keptOfRank[rank];
      const chosen = [...keptE].flatMap((count, expert) => Array(count).fill(expert));
      const topology = topologyOf(rank, nodes, workers);
      const layout = dispatchLayout(
        { expertsTK: Int32Array.from(chosen), numChoices: 1, keptE },
        topology,
        contiguousPlacement(numExperts, W),
        keptOfRank,
      );
      const { local, remote, first, last } = scheduleChunks(layout, topology, degree);
      expect(remote).toHaveLength(degree);
      const rows = [first, ...remote.map(({ work }) => work), last].flat();
      const covered = rows.flatMap(({ expert, begin, count }) => {
        expect(count).toBeGreaterThan(0);
        const ends = layout.rowsOfLocalExpert.map((_, i) =>
          layout.rowsOfLocalExpert.slice(0, i + 1).reduce((a, b) => a + b),
        );
        expect(begin + count).toBeLessThanOrEqual(ends[expert]);
        expect(begin).toBeGreaterThanOrEqual(expert === 0 ? 0 : ends[expert - 1]);
        return Array.from({ length: count }, (_, i) => begin + i);
      });
      expect(covered.sort((a, b) => a - b)).toEqual([...Array(layout.received.numRows).keys()]);
      for (const side of ['sent', 'received'] as const)
        for (let peer = 0; peer < W; peer++) {
          const rows = [local, ...remote].flatMap((chunk) => rowsOf(chunk[side].rangesOfRank[peer]));
          expect(rows.sort((a, b) => a - b)).toEqual(rowsOf(layout[side].rangesOfRank[peer]));
        }
    }
  });
});

function rowsOf(ranges: readonly RowRange[]): number[] {
  return ranges.flatMap(({ begin, count }) => Array.from({ length: count }, (_, i) => begin + i));
}
