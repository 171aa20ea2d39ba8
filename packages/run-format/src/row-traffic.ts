import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';

const count = z.int().nonnegative();

/** Exchanges of the rows of tokens in a sparse layer, in the order of a step. */
export const ROW_DIRECTIONS = ['dispatch', 'combine', 'combine gradient', 'dispatch gradient'] as const;
export type RowDirection = (typeof ROW_DIRECTIONS)[number];

/** Rows that a rank sent in one step, and what tells how many bytes a choice costs; in the file of its recorded routes. */
export const sentRows = z.object({
  numNodes: z.int().positive(),
  workersPerNode: z.int().positive(),
  /** Bytes of a token's row. */
  rowBytes: count,
  /**
   * Bytes of a row with the weights of its choices, which travels once to each other node with `cluster.deduplicate`; null
   * without.
   */
  crossingBytes: count.nullable(),
  /** Share of the sequences whose routes are recorded. */
  share: z.number(),
  /** Bytes to each rank, length W, forward and backward over all micro-batches. */
  sent: z.array(z.object({ layer: count, direction: z.enum(ROW_DIRECTIONS), toRank: z.array(count) })),
});
export type SentRows = DeepReadonly<z.output<typeof sentRows>>;

/** Worlds of more ranks have their links by node in `metrics.ndjson`. */
export const MOST_LINKED_RANKS = 16;

export const linkBytes = z.object({
  numNodes: z.int().positive(),
  /** What sends and receives: ranks in a world of at most 16, else nodes. */
  between: z.enum(['ranks', 'nodes']),
  /** Bytes of rows of all sparse layers, forward and backward, from each (first index) to each. */
  bytes: z.array(z.array(count)),
});
export type LinkBytes = DeepReadonly<z.output<typeof linkBytes>>;

/** @param bytesOfRank sent by each rank to each rank, [W, W] */
export function linksOf(bytesOfRank: readonly (readonly number[])[], numNodes: number): LinkBytes {
  return bytesOfRank.length <= MOST_LINKED_RANKS
    ? { numNodes, between: 'ranks', bytes: bytesOfRank }
    : { numNodes, between: 'nodes', bytes: byNode(bytesOfRank, numNodes) };
}

/** Bytes from each node to each, [N, N]; on the diagonal what its ranks send each other. */
export function byNode(bytes: readonly (readonly number[])[], numNodes: number): number[][] {
  const workersPerNode = bytes.length / numNodes;
  const sums = Array.from({ length: numNodes }, () => new Array<number>(numNodes).fill(0));
  bytes.forEach((toRank, from) => {
    const row = sums[Math.floor(from / workersPerNode)]!;
    toRank.forEach((each, to) => {
      row[Math.floor(to / workersPerNode)]! += each;
    });
  });
  return sums;
}
