import { heldExperts } from '../groups/domain-groups.js';
import type { RouterContext, RoutingDecision, Selection } from '../router.js';
import { classicCapacity } from './capacity.js';
import { gatherCounts } from './gather-counts.js';

// Shapes: T tokens of this rank, E experts, K choices of a token.

/** A decision without weights and losses. */
export interface FirstFit extends Selection, Pick<RoutingDecision, 'numChoices'> {
  /** Choices per expert of all ranks before drops, length E. */
  readonly routedByAllRanksE: Float64Array;
  readonly sharedOfRank: readonly Float32Array[];
}

/**
 * Applies first-fit capacity: each expert keeps its first `capacity` choices in the order of the global token index and
 * drops the rest, so the result does not depend on the layout.
 *
 * The capacity is global. A capacity per source rank would punish locality: with two nodes whose tokens all
 * stay local, half of them would be dropped.
 *
 * @param chosenTK expert of each choice, row-major [T, K]; -1 for none
 * @param capacity per expert over all ranks, in choices; Infinity drops nothing
 * @param options `numChoices`, K, and values that are all-gathered together with the counts (`gatherCounts`)
 * @throws TrainerError as `Transport.transfer`
 */
export function firstFit(
  context: Pick<RouterContext, 'transport' | 'layer' | 'topology' | 'moe'>,
  chosenTK: Int32Array,
  capacity: number,
  {
    numChoices = 1,
    shared,
  }: { readonly numChoices?: number; readonly shared?: Float32Array | undefined } = {},
): FirstFit {
  const { numExperts } = context.moe;
  const routedE = new Int32Array(numExperts);
  for (const expert of chosenTK) if (expert >= 0) routedE[expert]!++;
  const { countsOfRank, sharedOfRank } = gatherCounts(context, routedE, shared);
  const roomE = new Float64Array(numExperts).fill(capacity);
  const keptOfRank = countsOfRank.map((countsE) =>
    countsE.map((count, expert) => {
      const kept = Math.min(count, roomE[expert]!);
      roomE[expert]! -= kept;
      return kept;
    }),
  );
  const keptE = keptOfRank[context.topology.rank]!;
  return {
    numChoices,
    expertsTK: keepFirst(chosenTK, keptE),
    chosenTK,
    notChosenTK: null,
    routedE,
    keptE,
    overCapacityE: routedE.map((routed, expert) => routed - keptE[expert]!),
    notChosenE: new Int32Array(numExperts),
    capacityE: new Float64Array(numExperts).fill(capacity),
    keptOfRank,
    routedByAllRanksE: Float64Array.from(routedE, (_, expert) =>
      countsOfRank.reduce((sum, countsE) => sum + countsE[expert]!, 0),
    ),
    sharedOfRank,
  };
}

/**
 * Applies first-fit with the classic capacity of `moe.capacityFactor` in training; drops nothing outside.
 *
 * @param chosenTK as `firstFit`
 * @throws TrainerError as `Transport.transfer`
 */
export function classicFit(
  context: Parameters<typeof firstFit>[0],
  chosenTK: Int32Array,
  training: boolean,
  numChoices = 1,
): FirstFit {
  const { moe, topology } = context;
  const numTokens = (chosenTK.length / numChoices) * topology.worldSize;
  const factor = training ? moe.capacityFactor : null;
  const capacity = classicCapacity(factor, numTokens, numChoices, heldExperts(moe).count);
  return firstFit(context, chosenTK, capacity, { numChoices });
}

/** Returns the choices with all but the first `keptE` of each expert set to -1. */
function keepFirst(chosenTK: Int32Array, keptE: Int32Array): Int32Array {
  const leftE = keptE.slice();
  return chosenTK.map((expert) => (expert >= 0 && leftE[expert]!-- > 0 ? expert : -1));
}
