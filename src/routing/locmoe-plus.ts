import { z } from 'zod';
import { tf } from '../ops/tensorflow.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { classicCapacity } from './capacity.js';
import { heldExperts } from './domain-groups.js';
import { candidatesByExpert, expertChoice, risingAffinities } from './expert-choice.js';
import { ExpertChoiceState, expertChoiceFields } from './expert-choice-state.js';
import { gateLosses, localExpertsCount, localityFields, numSharedForLosses } from './gate-losses.js';
import { gatherCounts } from './gather-counts.js';
import { gatherScores, scoreBytes } from './gather-scores.js';
import { blocksOf, cosineAffinity, gateCosines, grapFields, grapSpecs, groupsDivide } from './grap.js';
import { cosineOfChoices, keepToGroup, probabilitiesOfChoices } from './group-choice.js';
import { defineRouter, type MoeRule, type MoeWith } from './policy.js';
import { randomScores } from './random-ranking.js';
import type { RouterContext, RoutingDecision } from './router.js';
import { type Candidates, tokenChoice } from './token-choice.js';

// Shapes: T tokens of this rank, d hidden size, E experts, K choices of a token, N candidates of all ranks.

const fields = {
  ...localityFields,
  ...grapFields,
  ...expertChoiceFields,
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
  affinityThreshold: z
    .number()
    .gt(0)
    .max(1)
    .default(0.9)
    .describe('a token takes its best experts until their softmaxed affinities sum to this'),
  maxExpertsPerToken: z.number().int().positive().default(4).describe('l_max, most experts of a token'),
};

type PlusMoe = MoeWith<typeof fields>;

/** Least change of tokens per expert against a top-1 baseline in the paper. */
const PAPER_TOKENS_VS_BASELINE = -0.6;

const capacityLimitsExperts: MoeRule<PlusMoe> = ({ selection, capacityFactor }) =>
  selection !== 'ecr' || capacityFactor !== null
    ? undefined
    : {
        field: 'capacityFactor',
        message: 'null with selection ecr would send every token to all experts of its group; give a number',
      };

const scheduleHasExpertChoice: MoeRule<PlusMoe> = ({ selection, selectionSchedule }) =>
  selectionSchedule === 'constant' || selection !== 'tcr'
    ? undefined
    : {
        field: 'selectionSchedule',
        message: 'linear moves from token choice to expert choice: use it with selection both or ecr',
      };

const rankingHasExpertChoice: MoeRule<PlusMoe> = ({ selection, ranking }) =>
  ranking === 'affinity' || selection !== 'tcr'
    ? undefined
    : { field: 'ranking', message: 'random is for experts that choose: use it with selection both or ecr' };

/** The part of a decision that follows from which candidates are kept. */
type Selection = Pick<
  RoutingDecision,
  'expertsTK' | 'routedE' | 'keptE' | 'overCapacityE' | 'notChosenE' | 'capacityE' | 'keptOfRank'
>;

/**
 * LocMoE+ routing, also Expert-Token Resonance (ETR, arXiv 2406.00023): affinities are cosines with GrAP
 * gates (eq. 4); tokens choose experts (eq. 5), experts choose among those tokens (eq. 6) up to an adaptive
 * capacity. Weights are the softmax of the affinities over the token's experts; load-balance and locality
 * loss as in LocMoE.
 *
 * `selection` tcr: tokens choose, capacity is first-fit. ecr: a token is a candidate of all experts of its
 * group, experts choose. both: experts choose among the tokens that chose them.
 *
 * `ranking: random` is the control that tells what ranking by affinity is worth: candidates, weights, losses and
 * capacities are the same, but which candidates an expert keeps is drawn anew for each step, token and expert
 * (random-ranking.ts). Its running threshold is then one of these scores, so it keeps as many outside training
 * too, where the score is that of the token id.
 *
 * Expert choice is global: affinities are all-gathered before the dispatch, and each rank computes the same
 * selection. As it depends on the whole batch, outside training an expert keeps the tokens that reach its
 * running threshold, which is causal.
 */
export const locmoePlusRouter = defineRouter({
  fields,
  rules: [
    groupsDivide,
    localExpertsCount,
    capacityLimitsExperts,
    scheduleHasExpertChoice,
    rankingHasExpertChoice,
  ],
  // Thresholds are in units of the ranking.
  shapedBy: ['learnedGroups', 'ranking'],
  parameters: grapSpecs,
  price(moe, { numTokens: T, dModel: d }) {
    const E = moe.numExperts;
    const choices = choicesPerToken(moe);
    return {
      forward: { flops: 2 * T * d * E, touched: 30 * T * E + 3 * T * choices, operations: 55 },
      backward: { flops: 4 * T * d * E, touched: 35 * T * E, operations: 60 },
      hostNs: 7000,
      gathered: { purpose: 'scores', bytes: scoreBytes(T * choices, numSharedForLosses(moe)) },
      choicesPerToken: choices,
      ...(moe.capacityFactor !== null && {
        kept: {
          perToken: 1 + PAPER_TOKENS_VS_BASELINE,
          source: 'tokens of an expert as in the LocMoE+ paper',
        },
      }),
      candidatesPerToken: choices,
      weighted: true,
    };
  },
  gateCosines,
  create(context) {
    const { moe, dModel, expertsOfDomain } = context;
    const { numExperts } = moe;
    const losses = gateLosses(context);
    const carried = new ExpertChoiceState(moe, dModel);
    const everyExpert = moe.selection === 'ecr';
    return {
      state: carried.state,
      endStep: () => carried.endStep(),
      skipStep: () => carried.skipStep(),
      route({ xTD, tokenIdsT, domainsT, training, parameters }) {
        const affinityTE = cosineAffinity(xTD, numExperts, blocksOf(parameters));
        const logitsTE: tf.Tensor2D = tf.mul(affinityTE, Math.sqrt(dModel) / moe.temperature);
        const probsTE: tf.Tensor2D = tf.softmax(keepToGroup(logitsTE, domainsT, expertsOfDomain));
        const cosinesTE = affinityTE.dataSync<'float32'>();
        const candidates = tokenChoice(probsTE.dataSync<'float32'>(), cosinesTE, {
          numExperts,
          expertsOfDomain,
          domainsT,
          threshold: everyExpert ? Infinity : moe.affinityThreshold,
          maxChoices: everyExpert ? numExperts : moe.maxExpertsPerToken,
        });
        const { numChoices } = candidates;
        const weightsTK = weightsOfChoices(probsTE, candidates);
        if (!training) {
          const selection = selectCausally(context, carried, candidates, tokenIdsT);
          return { ...selection, numChoices, weightsTK, auxiliaryLoss: null, gateCosine: null };
        }
        const shared = losses.share(probsTE, domainsT, firstChoices(candidates));
        const { sharedOfRank, ...selection } = selectTogether(context, carried, candidates, shared);
        return {
          ...selection,
          numChoices,
          weightsTK,
          auxiliaryLoss: losses.loss(probsTE, sharedOfRank),
          gateCosine: cosineOfChoices(cosinesTE, selection.expertsTK, numChoices),
        };
      },
    };
  },
});

/** K, candidates of a token. */
function choicesPerToken({ numExperts, expertGroups, selection, maxExpertsPerToken }: PlusMoe): number {
  const group = numExperts / expertGroups;
  return selection === 'ecr' ? group : Math.min(group, maxExpertsPerToken);
}

function firstChoices({ expertsTK, numChoices }: Candidates): Int32Array {
  return expertsTK.filter((_, choice) => choice % numChoices === 0);
}

/** Softmax of the affinities over a token's candidates, [T, K]; 0 in empty places. */
function weightsOfChoices(probsTE: tf.Tensor2D, { expertsTK, numChoices }: Candidates): tf.Tensor2D {
  const chosen = tf.tensor2d(
    Float32Array.from(expertsTK, (expert) => (expert < 0 ? 0 : 1)),
    [probsTE.shape[0], numChoices],
  );
  const probsTK: tf.Tensor2D = tf.mul(probabilitiesOfChoices(probsTE, expertsTK, numChoices), chosen);
  return tf.div(probsTK, tf.sum(probsTK, 1, true));
}

/** Batch rule (training): experts choose among the candidates of all ranks. */
function selectTogether(
  { moe, layer, topology, transport, seed, numSteps }: RouterContext<PlusMoe>,
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
  // What the classic capacity would drop too counts as over capacity.
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
function expertShare({ selection, selectionSchedule }: PlusMoe, progress: number): number {
  if (selection === 'tcr') return 0;
  return selectionSchedule === 'linear' ? Math.min(1, progress) : 1;
}

function keptOfRank(keptN: Uint8Array, positionsE: readonly Int32Array[], worldSize: number): Int32Array[] {
  const length = keptN.length / worldSize;
  const counts = Array.from({ length: worldSize }, () => new Int32Array(positionsE.length));
  positionsE.forEach((positions, expert) => {
    for (const n of positions) if (keptN[n] === 1) counts[Math.floor(n / length)][expert]++;
  });
  return counts;
}

/** Causal rule (evaluation): a token is kept if its score reaches the expert's running threshold. */
function selectCausally(
  context: RouterContext<PlusMoe>,
  { thresholdE }: ExpertChoiceState,
  candidates: Candidates,
  tokenIdsT: Int32Array,
): Selection {
  const { moe, layer, seed } = context;
  const { numExperts, selection } = moe;
  const { expertsTK, affinitiesTK, numChoices } = candidates;
  // By token id: a decoder that takes tokens one by one has no index of them.
  const scoresTK =
    moe.ranking === 'random'
      ? randomScores(
          new CounterRandom(seed, `layers.${layer}.router.ranking`),
          expertsTK,
          numExperts,
          (candidate) => tokenIdsT[Math.floor(candidate / numChoices)],
        )
      : affinitiesTK;
  const kept = Uint8Array.from(expertsTK, (expert, choice) =>
    expert >= 0 && (selection === 'tcr' || scoresTK[choice] >= thresholdE[expert]) ? 1 : 0,
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
): Pick<Selection, 'expertsTK' | 'routedE' | 'keptE' | 'overCapacityE' | 'notChosenE'> {
  const [routedE, keptE, overCapacityE, notChosenE] = Array.from(
    { length: 4 },
    () => new Int32Array(numExperts),
  );
  expertsTK.forEach((expert, choice) => {
    if (expert < 0) return;
    routedE[expert]++;
    if (kept[choice] === 1) keptE[expert]++;
    else if (fits[choice] === 1) notChosenE[expert]++;
    else overCapacityE[expert]++;
  });
  return {
    expertsTK: expertsTK.map((expert, choice) => (kept[choice] === 1 ? expert : -1)),
    routedE,
    keptE,
    overCapacityE,
    notChosenE,
  };
}
