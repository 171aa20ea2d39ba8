import { TrainerError } from '../errors.js';

// n experts, numbered from the first that the model has, W ranks. n >= W: rank r owns experts [r n/W, (r+1) n/W).
// n < W: rank r holds a replica of expert r mod n, and sources send to the replica in their own block of n ranks.

/**
 * Experts held by `rank`, ascending global ids.
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
 * Destination rank of the tokens of `source` for `expert`. Monotonic in `expert`: rows sorted by expert are
 * sorted by destination.
 *
 * @throws TrainerError `BAD_CONFIG` if experts and ranks cannot be spread evenly
 */
export function rankOfExpert(numExperts: number, worldSize: number, source: number, expert: number): number {
  checkEven(numExperts, worldSize);
  if (numExperts < worldSize) return Math.floor(source / numExperts) * numExperts + expert;
  return Math.floor((expert * worldSize) / numExperts);
}

/**
 * Ranks with the same experts as `rank`, itself included, ascending; their expert gradients are all-reduced.
 */
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
