import { classicCapacity } from '../capacity/capacity.js';
import { gatherCounts } from '../capacity/gather-counts.js';
import { heldExperts } from '../groups/domain-groups.js';
import type { RouterContext, Selection } from '../router.js';
import type { Candidates } from '../rules/token-choice.js';
import { candidatesByExpert, expertChoice, risingAffinities } from './best-candidates.js';
import { gatherScores } from './gather-scores.js';
import type { RunningThresholds } from './running-thresholds.js';

// Shapes: T tokens of this rank, E experts, K choices of a token, N candidates of all ranks.
//
// Selects the candidates to keep where experts choose: by the batch rule in training, and by the causal rule otherwise.

/** Deviations of a router's batch rule from the plain form. */
export interface BatchRule {
  /** Numbers of this rank to all-gather with the scores, of equal length on all ranks. */
  readonly shared?: Float32Array;
  /** Thresholds of the causal rule, which learn from the cuts of this batch. */
  readonly thresholds?: RunningThresholds | undefined;
  /**
   * Returns the capacity of each expert; by default, the classic one applies.
   *
   * @param risingE affinities of each expert's candidates, ascending
   * @param classic classic capacity over all ranks; Infinity for no limit
   */
  readonly capacities?: (risingE: readonly Float32Array[], classic: number) => Float64Array;
  /** Scores that rank the candidates, given the expert of each, length N; their affinities by default. */
  readonly scoresOf?: ((expertsN: Int32Array) => Float32Array) | undefined;
  /** Share of an expert's capacity that is filled by score, the rest in token order; 1 by default. */
  readonly expertShare?: number;
}

/** Selects by the batch rule (training): experts choose among the candidates of all ranks. */
export function selectTogether(
  { moe, layer, topology, transport }: RouterContext,
  candidates: Candidates,
  { shared, thresholds, capacities, scoresOf, expertShare = 1 }: BatchRule = {},
): Selection & { readonly sharedOfRank: readonly Float32Array[] } {
  const { numExperts } = moe;
  const all = gatherScores(transport, layer, candidates, shared);
  const length = candidates.expertsTK.length;
  const numTokens = all.expertsN.length / candidates.numChoices;
  const classic = classicCapacity(moe.capacityFactor, numTokens, 1, heldExperts(moe).count);
  const positionsE = candidatesByExpert(all.expertsN, numExperts);
  const risingAffinityE = risingAffinities(positionsE, all.affinitiesN);
  const classicE = new Float64Array(numExperts).fill(classic);
  const capacityE = capacities?.(risingAffinityE, classic) ?? classicE;
  const scoresN = scoresOf?.(all.expertsN) ?? all.affinitiesN;
  const risingE = scoresN === all.affinitiesN ? risingAffinityE : risingAffinities(positionsE, scoresN);
  const { keptN, cutE } = expertChoice(positionsE, scoresN, risingE, capacityE, expertShare);
  // A choice that the classic capacity would drop as well counts as over capacity.
  const fits = capacities ? expertChoice(positionsE, scoresN, risingE, classicE, expertShare).keptN : keptN;
  thresholds?.observe(cutE);

  const first = topology.rank * length;
  return {
    ...account(
      candidates,
      numExperts,
      keptN.subarray(first, first + length),
      fits.subarray(first, first + length),
    ),
    capacityE,
    keptOfRank: keptOfRank(keptN, positionsE, topology.worldSize),
    sharedOfRank: all.sharedOfRank,
  };
}

function keptOfRank(keptN: Uint8Array, positionsE: readonly Int32Array[], worldSize: number): Int32Array[] {
  const length = keptN.length / worldSize;
  const counts = Array.from({ length: worldSize }, () => new Int32Array(positionsE.length));
  positionsE.forEach((positions, expert) => {
    for (const n of positions) if (keptN[n] === 1) counts[Math.floor(n / length)]![expert]!++;
  });
  return counts;
}

/**
 * Selects by the causal rule (evaluation): keeps candidates whose score reaches the expert's running threshold.
 *
 * @param thresholdE lowest score that each expert keeps; null keeps all candidates
 * @param scoresTK score of each candidate, length T K; its affinity by default
 */
export function selectCausally(
  context: RouterContext,
  candidates: Candidates,
  thresholdE: Float32Array | null,
  scoresTK = candidates.affinitiesTK,
): Selection {
  const { numExperts } = context.moe;
  const kept = Uint8Array.from(candidates.expertsTK, (expert, choice) =>
    expert >= 0 && (thresholdE === null || scoresTK[choice]! >= thresholdE[expert]!) ? 1 : 0,
  );
  const counts = account(candidates, numExperts, kept, new Uint8Array(kept.length).fill(1));
  return {
    ...counts,
    capacityE: new Float64Array(numExperts).fill(Infinity),
    keptOfRank: gatherCounts(context, counts.keptE).countsOfRank,
  };
}

/**
 * Counts this rank's candidates by outcome.
 *
 * @param kept 1 for a kept candidate, length T K
 * @param fits 1 for a candidate that the classic capacity would keep, length T K
 */
function account(
  { expertsTK }: Candidates,
  numExperts: number,
  kept: Uint8Array,
  fits: Uint8Array,
): Omit<Selection, 'capacityE' | 'keptOfRank'> {
  const counts = () => new Int32Array(numExperts);
  const [routedE, keptE, overCapacityE, notChosenE] = [counts(), counts(), counts(), counts()];
  const notChosenTK = new Uint8Array(expertsTK.length);
  expertsTK.forEach((expert, choice) => {
    if (expert < 0) return;
    routedE[expert]!++;
    if (kept[choice] === 1) keptE[expert]!++;
    else if (fits[choice] === 1) {
      notChosenE[expert]!++;
      notChosenTK[choice] = 1;
    } else overCapacityE[expert]!++;
  });
  return {
    chosenTK: expertsTK,
    notChosenTK,
    expertsTK: expertsTK.map((expert, choice) => (kept[choice] === 1 ? expert : -1)),
    routedE,
    keptE,
    overCapacityE,
    notChosenE,
  };
}
