import type { Layout } from '@locmoe/test-kit';

/** `all-to-all` is the exchange of the default configuration, hierarchical; inside one node both forms are the same. */
export type Collective = 'all-to-all' | 'flat all-to-all' | 'all-reduce';

/** One exchange that is timed. */
export interface ExchangeCase {
  readonly collective: Collective;
  /** Of one ordered pair of ranks (all-to-all), or of the vector (all-reduce); float32. */
  readonly bytes: number;
}

/** How long a case is repeated. The same for every system that is measured. */
export interface Repetition {
  readonly caseMs: number;
  readonly least: number;
  readonly most: number;
}

/** Repetitions by whose median the ranks agree on a number of them. */
export const TRIALS = 3;

/** Repetitions before anything is timed: they fault in the pages, open the connections, and let JavaScript be compiled. */
export function warmUpsOf({ bytes }: ExchangeCase): number {
  if (bytes <= 1 << 18) return 200;
  if (bytes <= 1 << 20) return 30;
  return bytes <= 1 << 22 ? 10 : 3;
}

/** How often to repeat what takes `eachMs`. */
export function repetitionsOf({ caseMs, least, most }: Repetition, eachMs: number): number {
  return Math.min(most, Math.max(least, Math.floor(caseMs / eachMs)));
}

/**
 * Bus bandwidth of one rank in GB/s: the bytes that a rank must send, over the time. All-to-all: (W - 1) B / t with B
 * bytes a pair. All-reduce: 2 (W - 1) / W S / t with a vector of S bytes. (The definition of NVIDIA's nccl-tests.)
 */
export function busGbPerS({ collective, bytes }: ExchangeCase, numRanks: number, ms: number): number {
  const sent = collective === 'all-reduce' ? (2 * (numRanks - 1) * bytes) / numRanks : (numRanks - 1) * bytes;
  return sent / ms / 1e6;
}

/** Bytes that one all-to-all moves between nodes, all ranks together: W (W - G) B. */
export function bytesBetweenNodes({ numNodes, workersPerNode }: Layout, pairBytes: number): number {
  const numRanks = numNodes * workersPerNode;
  return numRanks * (numRanks - workersPerNode) * pairBytes;
}

/** `2x4` is two nodes of four workers. */
export function layoutName({ numNodes, workersPerNode }: Layout): string {
  return `${numNodes}x${workersPerNode}`;
}

export function layoutOf(name: string): Layout {
  const [numNodes, workersPerNode] = name.split('x').map(Number);
  return { numNodes, workersPerNode };
}
