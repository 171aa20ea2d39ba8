import { TrainerError } from '../../errors.js';
import type { CommonMoe } from '../common-fields.js';
import { heldExperts } from './domain-groups.js';

// n experts, numbered from the first that the model has, W ranks. n >= W: rank r owns experts [r n/W, (r+1) n/W). n <
// W: rank r holds a replica of expert r mod n, and sources send to the replica in their own block of n ranks.

/** The ranks that hold the experts of one sparse layer, numbered from the first that the model has. */
export interface Placement {
  /** Returns the experts held by `rank`, ascending. */
  expertsOfRank(rank: number): number[];
  /** Returns the destination rank of the tokens of `source` for `expert`. */
  rankOfExpert(source: number, expert: number): number;
}

/**
 * Returns the placement of a sparse layer: `moe.placement` if it is for the same number of ranks, otherwise consecutive experts.
 * A run that continues with fewer nodes, or a model that is evaluated on one rank, cannot use the placement of a cluster.
 *
 * @param layer index among all layers of the model
 */
export function placementOf(
  moe: Pick<CommonMoe, 'numExperts' | 'expertGroups' | 'subModel' | 'placement'>,
  worldSize: number,
  layer: number,
): Placement {
  const { placement } = moe;
  const ranksE = placement?.layers[layer];
  const isMade = placement !== null && placement.nodes * placement.workersPerNode === worldSize;
  return isMade && ranksE !== undefined
    ? givenPlacement(ranksE)
    : contiguousPlacement(heldExperts(moe).count, worldSize);
}

/** @param ranksE rank of each expert */
export function givenPlacement(ranksE: readonly number[]): Placement {
  return {
    expertsOfRank: (rank) => [...ranksE.keys()].filter((expert) => ranksE[expert] === rank),
    rankOfExpert: (_, expert) => ranksE[expert]!,
  };
}

export function contiguousPlacement(numExperts: number, worldSize: number): Placement {
  return {
    expertsOfRank: (rank) => expertsOfRank(numExperts, worldSize, rank),
    rankOfExpert: (source, expert) => rankOfExpert(numExperts, worldSize, source, expert),
  };
}

/**
 * Returns the experts held by `rank`, ascending global ids.
 *
 * @throws TrainerError `BAD_CONFIG` if experts and ranks cannot be spread evenly
 */
export function expertsOfRank(numExperts: number, worldSize: number, rank: number): number[] {
  checkEven(numExperts, worldSize);
  if (numExperts < worldSize) return [rank % numExperts];
  const perRank = numExperts / worldSize;
  return Array.from({ length: perRank }, (_, i) => rank * perRank + i);
}

/**
 * Returns the destination rank of the tokens of `source` for `expert`.
 *
 * @throws TrainerError `BAD_CONFIG` if experts and ranks cannot be spread evenly
 */
export function rankOfExpert(numExperts: number, worldSize: number, source: number, expert: number): number {
  checkEven(numExperts, worldSize);
  if (numExperts < worldSize) return Math.floor(source / numExperts) * numExperts + expert;
  return Math.floor((expert * worldSize) / numExperts);
}

/** Returns the ranks with the same experts as `rank`, ascending, `rank` included; they sum expert gradients. */
export function replicasOfRank(numExperts: number, worldSize: number, rank: number): number[] {
  checkEven(numExperts, worldSize);
  if (numExperts >= worldSize) return [rank];
  return Array.from({ length: worldSize / numExperts }, (_, i) => i * numExperts + (rank % numExperts));
}

function checkEven(numExperts: number, worldSize: number): void {
  const [large, small] = numExperts >= worldSize ? [numExperts, worldSize] : [worldSize, numExperts];
  if (large % small !== 0)
    throw new TrainerError(
      'BAD_CONFIG',
      `moe.numExperts ${numExperts} cannot be spread evenly over ${worldSize} ranks: one must be a multiple of the other`,
    );
}
