import type { CounterRandom } from '../parameters/counter-random.js';

// Shapes: N candidates, in the order of their tokens; -1 is an empty place.

/**
 * Scores in (0, 1) by which experts rank candidates at random: each is a function of the random numbers' name,
 * the token and the expert alone, so it does not depend on the layout or on other candidates.
 *
 * @param expertsN expert of each candidate, length N
 * @param tokenOf what a candidate's token is known by: an integer from 0
 */
export function randomScores(
  random: CounterRandom,
  expertsN: Int32Array,
  numExperts: number,
  tokenOf: (candidate: number) => number,
): Float32Array {
  return Float32Array.from(expertsN, (expert, candidate) =>
    expert < 0 ? 0 : random.uniform(tokenOf(candidate) * numExperts + expert),
  );
}
