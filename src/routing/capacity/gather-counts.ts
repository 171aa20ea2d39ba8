import { allGather } from '../../collectives/all-gather.js';
import type { RouterContext } from '../router.js';

// Shapes: E experts.

/** Result of `gatherCounts`. */
export interface WorldCounts {
  /** Choices per expert, length E, by rank. */
  readonly countsOfRank: readonly Int32Array[];
  /** The `shared` numbers of each rank. */
  readonly sharedOfRank: readonly Float32Array[];
}

/** Returns the bytes that a rank sends to each other rank in `gatherCounts`. */
export function countBytes(numExperts: number, numShared = 0): number {
  return 4 * (numExperts + numShared);
}

/**
 * All-gathers the choices per expert in one step of communication.
 *
 * @param countsE length E
 * @param shared further numbers to all-gather, of equal length on all ranks
 * @throws TrainerError as `Transport.transfer`
 */
export function gatherCounts(
  { transport, layer }: Pick<RouterContext, 'transport' | 'layer'>,
  countsE: Int32Array,
  shared: Float32Array = new Float32Array(0),
): WorldCounts {
  const numExperts = countsE.length;
  const mine = new Uint8Array(countBytes(numExperts, shared.length));
  new Int32Array(mine.buffer, 0, numExperts).set(countsE);
  new Float32Array(mine.buffer, 4 * numExperts).set(shared);
  const all = allGather(transport, { mine, purpose: 'counts', layer });
  return {
    countsOfRank: all.map(({ buffer, byteOffset }) => new Int32Array(buffer, byteOffset, numExperts)),
    sharedOfRank: all.map(
      ({ buffer, byteOffset }) => new Float32Array(buffer, byteOffset + 4 * numExperts, shared.length),
    ),
  };
}
