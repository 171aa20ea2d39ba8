import { allGather } from '../collectives/all-gather.js';
import type { RouterContext, RoutingDecision } from './router.js';

// Shapes: T tokens of this rank, E experts.

/** What the ranks have told each other of one layer and batch. */
export interface WorldCounts {
  /** Choices per expert, length E, by rank. */
  readonly countsOfRank: readonly Int32Array[];
  /** What each rank shared, by rank. */
  readonly sharedOfRank: readonly Float32Array[];
}

/**
 * Tells every rank how many choices of each expert every rank has: 4 bytes an expert and 4 a shared number, to each
 * other rank.
 *
 * @param countsE length E
 * @param shared few more numbers, of equal length on all ranks
 * @throws TrainerError as `Transport.transfer`
 */
export function exchangeCounts(
  { transport, layer }: Pick<RouterContext, 'transport' | 'layer'>,
  countsE: Int32Array,
  shared: Float32Array = new Float32Array(0),
): WorldCounts {
  const numExperts = countsE.length;
  const mine = new Uint8Array(4 * (numExperts + shared.length));
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

/** What became of the choices of a router that sends a token to one expert. */
export interface FirstCome
  extends Pick<
    RoutingDecision,
    'expertsTK' | 'routedE' | 'keptE' | 'overCapacityE' | 'notChosenE' | 'capacityE' | 'keptOfRank'
  > {
  /** Choices per expert of all ranks before any was dropped, length E. */
  readonly routedByAllRanksE: Float64Array;
  readonly sharedOfRank: readonly Float32Array[];
}

/**
 * Keeps the first `capacity` choices of each expert in the order of the global token index, rank by rank, and drops the
 * rest: the same ones whatever the layout.
 *
 * A capacity for each rank alone would work against locality: where all tokens of a node stay on it, its experts take
 * no more from it than when they spread over all nodes, and half of two nodes' tokens are dropped.
 *
 * @param chosenT the expert of each token
 * @param capacity choices that each expert takes from all ranks together; Infinity drops nothing
 * @param shared as in `exchangeCounts`
 */
export function firstCome(
  context: Pick<RouterContext, 'transport' | 'layer' | 'topology' | 'moe'>,
  chosenT: Int32Array,
  capacity: number,
  shared?: Float32Array,
): FirstCome {
  const { numExperts } = context.moe;
  const routedE = new Int32Array(numExperts);
  for (const expert of chosenT) routedE[expert]++;
  const { countsOfRank, sharedOfRank } = exchangeCounts(context, routedE, shared);
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
