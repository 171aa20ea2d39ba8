import { gatherCounts } from './gather-counts.js';
import type { RouterContext, RoutingDecision } from './router.js';

// Shapes: T tokens of this rank, E experts.

/** The part of a decision that follows from one choice for each token and a capacity. */
export interface FirstFit
  extends Pick<
    RoutingDecision,
    | 'numChoices'
    | 'expertsTK'
    | 'routedE'
    | 'keptE'
    | 'overCapacityE'
    | 'notChosenE'
    | 'capacityE'
    | 'keptOfRank'
  > {
  /** Choices per expert of all ranks before any was dropped, length E. */
  readonly routedByAllRanksE: Float64Array;
  readonly sharedOfRank: readonly Float32Array[];
}

/**
 * First-fit capacity of routers that send a token to one expert: an expert keeps its first `capacity` choices in the
 * order of the global token index, rank by rank, and drops the rest, so the layout does not matter.
 *
 * One number for all ranks, since a capacity for each rank would work against locality: where all tokens of a node stay
 * on it, its experts would take no more from it than when they spread over all nodes, and with two nodes drop half.
 *
 * @param chosenT the expert of each token
 * @param capacity choices that each expert takes from all ranks together; Infinity drops nothing
 * @param shared as in `gatherCounts`
 * @throws TrainerError as `Transport.transfer`
 */
export function firstFit(
  context: Pick<RouterContext, 'transport' | 'layer' | 'topology' | 'moe'>,
  chosenT: Int32Array,
  capacity: number,
  shared?: Float32Array,
): FirstFit {
  const { numExperts } = context.moe;
  const routedE = new Int32Array(numExperts);
  for (const expert of chosenT) routedE[expert]++;
  const { countsOfRank, sharedOfRank } = gatherCounts(context, routedE, shared);
  const roomE = new Float64Array(numExperts).fill(capacity);
  const keptOfRank = countsOfRank.map((countsE) =>
    countsE.map((count, expert) => {
      const kept = Math.min(count, roomE[expert]);
      roomE[expert] -= kept;
      return kept;
    }),
  );
  const keptE = keptOfRank[context.topology.rank];
  return {
    numChoices: 1,
    expertsTK: keepFirst(chosenT, keptE),
    routedE,
    keptE,
    overCapacityE: routedE.map((routed, expert) => routed - keptE[expert]),
    notChosenE: new Int32Array(numExperts),
    capacityE: new Float64Array(numExperts).fill(capacity),
    keptOfRank,
    routedByAllRanksE: Float64Array.from(routedE, (_, expert) =>
      countsOfRank.reduce((sum, countsE) => sum + countsE[expert], 0),
    ),
    sharedOfRank,
  };
}

/** The choices with all but the first `keptE` of each expert set to -1. */
function keepFirst(chosenT: Int32Array, keptE: Int32Array): Int32Array {
  const leftE = keptE.slice();
  return chosenT.map((expert) => (leftE[expert]-- > 0 ? expert : -1));
}
