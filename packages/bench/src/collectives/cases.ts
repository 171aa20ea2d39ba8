import type { Layout } from '@locmoe/test-kit';

/** `all-to-all` is the default form, hierarchical; within one node it equals the flat form. */
export type Collective = 'all-to-all' | 'flat all-to-all' | 'all-reduce';

export interface ExchangeCase {
  readonly collective: Collective;
  /** Bytes per ordered pair of ranks (all-to-all) or of the vector (all-reduce); float32. */
  readonly bytes: number;
}

/** Time budget and repetition limits of a case; the same for every system. */
export interface Repetition {
  readonly caseMs: number;
  readonly least: number;
  readonly most: number;
}

/** Repetitions whose median decides how many follow; all ranks agree on that number. */
export const TRIALS = 3;

/** Returns the number of warm-up repetitions: they fault in pages, open connections and let the JIT compile. */
export function warmUpsOf({ bytes }: ExchangeCase): number {
  if (bytes <= 1 << 18) return 200;
  if (bytes <= 1 << 20) return 30;
  return bytes <= 1 << 22 ? 10 : 3;
}

export function repetitionsOf({ caseMs, least, most }: Repetition, eachMs: number): number {
  return Math.min(most, Math.max(least, Math.floor(caseMs / eachMs)));
}

/**
 * Returns the bus bandwidth of one rank in GB/s, as defined by NVIDIA's nccl-tests: bytes that a rank must
 * send, over time. All-to-all: (W - 1) B / t with B bytes per pair. All-reduce: 2 (W - 1) / W S / t with a
 * vector of S bytes.
 */
export function busGbPerS({ collective, bytes }: ExchangeCase, numRanks: number, ms: number): number {
  const sent = collective === 'all-reduce' ? (2 * (numRanks - 1) * bytes) / numRanks : (numRanks - 1) * bytes;
  return sent / ms / 1e6;
}

/** Returns the bytes that one all-to-all moves between nodes, summed over ranks: W (W - G) B. */
export function bytesBetweenNodes({ numNodes, workersPerNode }: Layout, pairBytes: number): number {
  const numRanks = numNodes * workersPerNode;
  return numRanks * (numRanks - workersPerNode) * pairBytes;
}

/** Names a layout: `2x4` is two nodes of four workers. */
export function layoutName({ numNodes, workersPerNode }: Layout): string {
  return `${numNodes}x${workersPerNode}`;
}

export function layoutOf(name: string): Layout {
  const [numNodes, workersPerNode] = name.split('x').map(Number) as [number, number];
  return { numNodes, workersPerNode };
}
