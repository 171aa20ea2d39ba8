import { z } from 'zod';
import { CounterRandom } from '../../parameters/counter-random.js';
import { type MoeRule, type MoeWith, unless } from '../policy.js';
import type { RouterContext } from '../router.js';
import type { Candidates } from '../rules/token-choice.js';
import type { ExpertChoiceState, expertChoiceFields } from './expert-choice-state.js';
import { type BatchRule, selectCausally, selectTogether } from './global-selection.js';

// Shapes: T tokens of this rank, E experts, K choices of a token, N candidates of all ranks.
//
// The variants of the selection of `locmoe-plus`, by its fields.

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

/** Lets experts choose among the candidates of all ranks, as the fields specify; updates the thresholds. */
export function selectInTraining(
  context: RouterContext<SelectingMoe>,
  carried: ExpertChoiceState,
  candidates: Candidates,
  shared: Float32Array,
): ReturnType<typeof selectTogether> {
  const { moe, layer, seed, numSteps } = context;
  const { step } = carried;
  const rule: BatchRule = {
    shared,
    thresholds: moe.selection === 'tcr' ? undefined : carried.thresholds,
    capacities: (risingE, classic) => carried.capacities(risingE, classic),
    scoresOf:
      moe.ranking === 'random'
        ? (expertsN) =>
            randomScores(
              new CounterRandom(seed, `layers.${layer}.router.ranking.${step}`),
              expertsN,
              moe.numExperts,
              (candidate) => Math.floor(candidate / candidates.numChoices),
            )
        : undefined,
    expertShare: expertShare(moe, step / numSteps),
  };
  return selectTogether(context, candidates, rule);
}

/** Keeps tokens whose score reaches the expert's running threshold; with `selection: tcr`, all tokens. */
export function selectOutsideTraining(
  context: RouterContext<SelectingMoe>,
  { thresholds }: ExpertChoiceState,
  candidates: Candidates,
  tokenIdsT: Int32Array,
): ReturnType<typeof selectCausally> {
  const { moe, layer, seed } = context;
  const { expertsTK, numChoices } = candidates;
  // Scores depend on the token id, as a decoder that processes tokens one by one has no global token index.
  const scoresTK =
    moe.ranking === 'random'
      ? randomScores(
          new CounterRandom(seed, `layers.${layer}.router.ranking`),
          expertsTK,
          moe.numExperts,
          (candidate) => tokenIdsT[Math.floor(candidate / numChoices)]!,
        )
      : undefined;
  return selectCausally(
    context,
    candidates,
    moe.selection === 'tcr' ? null : thresholds.thresholdE,
    scoresTK,
  );
}

/** Returns the share of an expert's capacity filled by affinity; a schedule moves from 0 to 1 (ETR, Theorem 5). */
function expertShare({ selection, selectionSchedule }: SelectingMoe, progress: number): number {
  if (selection === 'tcr') return 0;
  return selectionSchedule === 'linear' ? Math.min(1, progress) : 1;
}

/**
 * Returns scores in (0, 1) by which experts rank candidates at random. Each score depends only on the name of the
 * random numbers, the token and the expert, and so not on the layout or on other candidates.
 *
 * @param expertsN expert of each candidate, length N
 * @param tokenOf returns an integer from 0 that identifies a candidate's token
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
