import { type Layout, spawnRanks } from '@locmoe/test-kit';
import { describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';

const program = new URL('./all-cases.program.ts', import.meta.url);

interface Result {
  readonly rank: number;
  readonly sums: readonly Float32Array[];
  /** Sums of vectors rounded to bfloat16 between nodes. */
  readonly rounded: readonly Float32Array[];
  readonly roundedOfGroup: Float32Array;
  readonly operations: number;
  readonly bytesSameNode: number;
  readonly bytesOtherNode: number;
}

async function run(numNodes: number, workersPerNode: number): Promise<readonly Result[]> {
  const layout: Layout = { numNodes, workersPerNode };
  // A small ring, so that most messages do not fit.
  const { ranks, agentErrors } = await spawnRanks<Result>(layout, program, { ringBytes: 1 << 14 });
  expect(agentErrors).toEqual([]);
  return ranks.map(({ result, error }) => {
    if (!result) throw new Error(error?.line ?? 'no result');
    return result;
  });
}

function bitsOf(results: readonly Result[]): Uint32Array[] {
  return results[0].sums.map((sum) => new Uint32Array(sum.buffer, sum.byteOffset, sum.length));
}

const LAYOUTS: [number, number][] = [
  [1, 1],
  [1, 4],
  [2, 2],
  [3, 1],
];
const BY_NIGHT: typeof LAYOUTS = [
  [1, 2],
  [1, 3],
  [2, 1],
  [2, 3],
  [3, 2],
  [4, 1],
];

describe('every collective over every layout', () => {
  const sums = new Map<string, Uint32Array[]>();

  it.each(NIGHTLY ? [...LAYOUTS, ...BY_NIGHT] : LAYOUTS)(
    '%d nodes of %d workers',
    async (numNodes, workersPerNode) => {
      const results = await run(numNodes, workersPerNode);
      expect(results.map(({ rank }) => rank)).toEqual(results.map((_, i) => i));
      for (const result of results) {
        // All ranks have bit-identical results and the same number of operations.
        expect(bitsOf([result])).toEqual(bitsOf(results));
        expect(result.rounded).toEqual(results[0].rounded);
        expect(result.roundedOfGroup).toEqual(results[result.rank % 2].roundedOfGroup);
        expect(result.operations).toBe(results[0].operations);
      }
      sums.set(`${numNodes}x${workersPerNode}`, bitsOf(results));
      expect(results.some(({ bytesOtherNode }) => bytesOtherNode > 0)).toBe(numNodes > 1);
    },
  );

  it('sums to the same bits in layouts whose nodes hold a power of two of workers', () => {
    expect(sums.get('2x2')).toEqual(sums.get('1x4'));
    if (!NIGHTLY) return;
    expect(sums.get('2x1')).toEqual(sums.get('1x2'));
    expect(sums.get('4x1')).toEqual(sums.get('1x4'));
  });
});
