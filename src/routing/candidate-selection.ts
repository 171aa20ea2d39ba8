import { z } from 'zod';
import { CounterRandom } from '../parameters/counter-random.js';
import { classicCapacity } from './capacity.js';
import { heldExperts } from './domain-groups.js';
import { candidatesByExpert, expertChoice, risingAffinities } from './expert-choice.js';
import type { ExpertChoiceState, expertChoiceFields } from './expert-choice-state.js';
import { gatherCounts } from './gather-counts.js';
import { gatherScores } from './gather-scores.js';
import { type MoeRule, type MoeWith, unless } from './policy.js';
import type { RouterContext, RoutingDecision } from './router.js';
import type { Candidates } from './token-choice.js';

// Shapes: T tokens of this rank, E experts, K choices of a token, N candidates of all ranks.
//
// Which of the candidates that tokens have chosen are kept: by the batch rule in training, by the causal rule outside.

export const candidateSelectionFields = {
  selection: z.enum(['tcr', 'ecr', 'both']).default('both').describe('token choice, expert choice, or both'),
  selectionSchedule: z
    .enum(['constant', 'linear'])
    .default('constant')
    .describe(
      'how capacity is filled: linear moves from token order to affinity over the run; constant is affinity',
    ),
  ranking: z
    .enum(['affinity', 'random'])
    .default('affinity')
    .describe(
      'which candidates an expert keeps: those of the highest affinity; or as many at random, a control for experiments',
    ),
};

type SelectingMoe = MoeWith<typeof expertChoiceFields & typeof candidateSelectionFields>;

export const candidateSelectionRules: readonly MoeRule<SelectingMoe>[] = [
  ({ selection, capacityFactor }) =>
    unless(
      selection !== 'ecr' || capacityFactor !== null,
      'capacityFactor',
      'null with selection ecr would send every token to all experts of its group; give a number',
    ),
  ({ selection, selectionSchedule }) =>
    unless(
      selectionSchedule === 'constant' || selection !== 'tcr',
      'selectionSchedule',
      'linear moves from token choice to expert choice: use it with selection both or ecr',
    ),
  ({ selection, ranking }) =>
    unless(
      ranking === 'affinity' || selection !== 'tcr',
      'ranking',
      'random is for experts that choose: use it with selection both or ecr',
    ),
];

/** The part of a decision that follows from which candidates are kept. */
type Selection = Pick<
  RoutingDecision,
  | 'expertsTK'
  | 'chosenTK'
  | 'notChosenTK'
  | 'routedE'
  | 'keptE'
  | 'overCapacityE'
  | 'notChosenE'
  | 'capacityE'
  | 'keptOfRank'
>;

/** Batch rule (training): experts choose among the candidates of all ranks. */
export function selectTogether(
  { moe, layer, topology, transport, seed, numSteps }: RouterContext<SelectingMoe>,
  carried: ExpertChoiceState,
  candidates: Candidates,
  shared: Float32Array,
): Selection & { readonly sharedOfRank: readonly Float32Array[] } {
  const { numExperts } = moe;
  const all = gatherScores(transport, layer, candidates, shared);
  const length = candidates.expertsTK.length;
  const numTokens = all.expertsN.length / candidates.numChoices;
  const classic = classicCapacity(moe.capacityFactor, numTokens, 1, heldExperts(moe).count);
  const positionsE = candidatesByExpert(all.expertsN, numExperts);
  const risingAffinityE = risingAffinities(positionsE, all.affinitiesN);
  const capacityE = carried.capacities(risingAffinityE, classic);
  const isRandom = moe.ranking === 'random';
  const scoresN = isRandom
    ? randomScores(
        new CounterRandom(seed, `layers.${layer}.router.ranking.${carried.step}`),
        all.expertsN,
        numExperts,
        (candidate) => Math.floor(candidate / candidates.numChoices),
      )
    : all.affinitiesN;
  const risingE = isRandom ? risingAffinities(positionsE, scoresN) : risingAffinityE;
  const share = expertShare(moe, carried.step / numSteps);
  const { keptN, cutE } = expertChoice(positionsE, scoresN, risingE, capacityE, share);
  // A choice that the classic capacity would also drop counts as over capacity.
  const classicE = new Float64Array(numExperts).fill(classic);
  const fits = expertChoice(positionsE, scoresN, risingE, classicE, share).keptN;
  if (moe.selection !== 'tcr' && classic !== Infinity) carried.observe(cutE);

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

/** Share of an expert's capacity filled by affinity; a schedule moves from 0 to 1 (ETR, Theorem 5). */
function expertShare({ selection, selectionSchedule }: SelectingMoe, progress: number): number {
  if (selection === 'tcr') return 0;
  return selectionSchedule === 'linear' ? Math.min(1, progress) : 1;
}

function keptOfRank(keptN: Uint8Array, positionsE: readonly Int32Array[], worldSize: number): Int32Array[] {
  const length = keptN.length / worldSize;
  const counts = Array.from({ length: worldSize }, () => new Int32Array(positionsE.length));
  positionsE.forEach((positions, expert) => {
    for (const n of positions) if (keptN[n] === 1) counts[Math.floor(n / length)]![expert]!++;
  });
  return counts;
}

/** Causal rule (evaluation): a token is kept if its score reaches the expert's running threshold. */
export function selectCausally(
  context: RouterContext<SelectingMoe>,
  { thresholdE }: ExpertChoiceState,
  candidates: Candidates,
  tokenIdsT: Int32Array,
): Selection {
  const { moe, layer, seed } = context;
  const { numExperts, selection } = moe;
  const { expertsTK, affinitiesTK, numChoices } = candidates;
  // Scores depend on the token id, as a decoder that takes tokens one by one has no index of them.
  const scoresTK =
    moe.ranking === 'random'
      ? randomScores(
          new CounterRandom(seed, `layers.${layer}.router.ranking`),
          expertsTK,
          numExperts,
          (candidate) => tokenIdsT[Math.floor(candidate / numChoices)]!,
        )
      : affinitiesTK;
  const kept = Uint8Array.from(expertsTK, (expert, choice) =>
    expert >= 0 && (selection === 'tcr' || scoresTK[choice]! >= thresholdE[expert]!) ? 1 : 0,
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
 * @param fits 1 for one that the classic capacity would keep, length T K
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

/**
 * Scores in (0, 1) by which experts rank candidates at random: each is a function of the random numbers' name,
 * the token and the expert alone, so it does not depend on the layout or on other candidates.
 *
 * @param expertsN expert of each candidate, length N
 * @param tokenOf what a candidate's token is known by: an integer from 0
 */
function randomScores(
  random: CounterRandom,
  expertsN: Int32Array,
  numExperts: number,
  tokenOf: (candidate: number) => number,
): Float32Array {
  return Float32Array.from(expertsN, (expert, candidate) =>
    expert < 0 ? 0 : random.uniform(tokenOf(candidate) * numExperts + expert),
  );
}
