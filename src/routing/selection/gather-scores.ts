import { allGather } from '../../collectives/all-gather.js';
import type { Transport } from '../../collectives/transport.js';
import type { Candidates } from '../rules/token-choice.js';

// Shapes: T tokens of a rank, K choices of a token, N = W T K candidates of all ranks.

/** Candidates of all ranks in the order of the global token index. */
export interface WorldCandidates {
  /** Expert of each candidate, length N; -1 for an empty place. */
  readonly expertsN: Int32Array;
  readonly affinitiesN: Float32Array;
  /** The `shared` numbers of each rank. */
  readonly sharedOfRank: readonly Float32Array[];
}

const NO_EXPERT = 0xffff;

/** Returns the bytes from one rank to another in `gatherScores`; at K = 2, d = 128 about 1/40 of its tokens' bytes. */
export function scoreBytes(numCandidates: number, numShared = 0): number {
  return 6 * numCandidates + 4 * numShared;
}

/**
 * All-gathers the candidates before the dispatch, in one step of communication.
 *
 * @param shared further numbers to all-gather, of equal length on all ranks
 * @throws TrainerError as `Transport.transfer`
 */
export function gatherScores(
  transport: Transport,
  layer: number,
  { expertsTK, affinitiesTK }: Candidates,
  shared: Float32Array = new Float32Array(0),
): WorldCandidates {
  const { worldSize } = transport.topology;
  const length = expertsTK.length;
  const numFloats = length + shared.length;
  const mine = new Uint8Array(scoreBytes(length, shared.length));
  const floats = new Float32Array(mine.buffer, 0, numFloats);
  floats.set(affinitiesTK);
  floats.set(shared, length);
  const experts = new Uint16Array(mine.buffer, 4 * numFloats, length);
  expertsTK.forEach((expert, i) => {
    experts[i] = expert < 0 ? NO_EXPERT : expert;
  });

  const expertsN = new Int32Array(worldSize * length);
  const affinitiesN = new Float32Array(worldSize * length);
  const all = allGather(transport, { mine, purpose: 'scores', layer });
  const sharedOfRank = all.map(({ buffer, byteOffset }, rank) => {
    const floatsOfRank = new Float32Array(buffer, byteOffset, numFloats);
    affinitiesN.set(floatsOfRank.subarray(0, length), rank * length);
    new Uint16Array(buffer, byteOffset + 4 * numFloats, length).forEach((expert, i) => {
      expertsN[rank * length + i] = expert === NO_EXPERT ? -1 : expert;
    });
    return floatsOfRank.subarray(length);
  });
  return { expertsN, affinitiesN, sharedOfRank };
}
