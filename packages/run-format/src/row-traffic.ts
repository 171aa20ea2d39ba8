import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';

const count = z.int().nonnegative();

/** Exchanges of the rows of tokens in a sparse layer, in the order of a step. */
export const ROW_DIRECTIONS = ['dispatch', 'combine', 'combine gradient', 'dispatch gradient'] as const;
export type RowDirection = (typeof ROW_DIRECTIONS)[number];

/**
 * Rows that a rank sent in one step, and what determines the bytes of a choice; stored in the file of its
 * recorded routes.
 */
export const sentRows = z.object({
  numNodes: z.int().positive(),
  workersPerNode: z.int().positive(),
  /** Bytes of a token's row. */
  rowBytes: count,
  /**
   * Bytes of a row with the weights of its choices, which is sent once to each other node with
   * `cluster.deduplicate`; null without it.
   */
  crossingBytes: count.nullable(),
  /** Share of the sequences whose routes are recorded. */
  share: z.number(),
  /** Bytes to each rank, length W, by layer and direction, summed over all micro-batches. */
  sent: z.array(z.object({ layer: count, direction: z.enum(ROW_DIRECTIONS), toRank: z.array(count) })),
});
export type SentRows = DeepReadonly<z.output<typeof sentRows>>;

/** With more ranks, the links in `metrics.ndjson` are by node. */
export const MOST_LINKED_RANKS = 16;

export const linkBytes = z.object({
  numNodes: z.int().positive(),
  /** The kind of sender and receiver: ranks in a world of at most 16, otherwise nodes. */
  between: z.enum(['ranks', 'nodes']),
  /** Bytes of rows in all sparse layers, forward and backward, shape [from, to]. */
  bytes: z.array(z.array(count)),
});
export type LinkBytes = DeepReadonly<z.output<typeof linkBytes>>;

/** @param bytesOfRank bytes sent from each rank to each rank, [W, W] */
export function linksOf(bytesOfRank: readonly (readonly number[])[], numNodes: number): LinkBytes {
  return bytesOfRank.length <= MOST_LINKED_RANKS
    ? { numNodes, between: 'ranks', bytes: bytesOfRank }
    : { numNodes, between: 'nodes', bytes: byNode(bytesOfRank, numNodes) };
}

/**
 * Returns the bytes from each node to each node, [N, N]; the diagonal has what ranks of the same node send each other.
 */
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
