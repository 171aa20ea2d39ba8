import { otherRanks } from './topology.js';
import type { Transport } from './transport.js';

export interface AllGatherOptions {
  /** This rank's bytes; of equal length on all ranks. */
  readonly mine: Uint8Array;
  readonly purpose: string;
  readonly layer?: number | undefined;
}

/**
 * Gives every rank the bytes of every rank, by rank. The results are views of one new buffer, in rank order without
 * gaps, each a copy (this rank's own too).
 *
 * @throws TrainerError as `Transport.exchange`
 */
export function allGather(transport: Transport, { mine, purpose, layer }: AllGatherOptions): Uint8Array[] {
  // One step; a rank sends (W - 1) B. Meant for small things (counts, scores): between nodes it sends each rank's
  // bytes once for every receiving rank, in one aggregated message for each pair of nodes.
  const { rank, worldSize } = transport.topology;
  const all = new Uint8Array(worldSize * mine.length);
  const results = Array.from({ length: worldSize }, (_, i) =>
    all.subarray(i * mine.length, (i + 1) * mine.length),
  );
  const peers = otherRanks(transport.topology);
  transport.exchange(
    { kind: 'all-gather', purpose, layer },
    peers.map((to) => ({ to, parts: [mine] })),
    peers.map((from) => ({ from, parts: [results[from]] })),
    { aggregate: true },
  );
  results[rank].set(mine);
  return results;
}
