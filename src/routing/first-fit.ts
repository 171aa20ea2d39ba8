import { gatherCounts } from './gather-counts.js';
import type { RouterContext, RoutingDecision } from './router.js';

// Shapes: T tokens of this rank, E experts.

/** A decision without weights and losses, for one choice per token. */
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
  /** Choices per expert of all ranks before drops, length E. */
  readonly routedByAllRanksE: Float64Array;
  readonly sharedOfRank: readonly Float32Array[];
}

/**
 * First-fit capacity for top-1 routers: each expert keeps its first `capacity` choices in the order of the
 * global token index and drops the rest, so the result does not depend on the layout.
 *
 * The capacity is global. A capacity per source rank would punish locality: with two nodes whose tokens all
 * stay local, half of them would be dropped.
 *
 * @param chosenT expert of each token
 * @param capacity per expert over all ranks, in choices; Infinity drops nothing
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
