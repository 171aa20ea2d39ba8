import { percent, signedPercent, table, withSpread } from '../markdown.js';
import { median } from '../statistics.js';
import { type Comparison, medianCurve } from './comparison.js';
import { type Equivalence, MARGIN, SIGNIFICANCE } from './equivalence.js';
import { CONTROLS, type Control, controlLine, type FrontierPoint, perplexityAt } from './frontier.js';
import type { Findings } from './headline.js';
import { FRONTIER_SEED } from './jobs.js';
import { probability, withInterval } from './papers.js';
import { perplexityOf } from './perplexity.js';
import {
  BASELINE,
  LEVEL_1_CONTROL,
  labelOf,
  PLAIN_BASELINE,
  VARIANTS,
  type VariantId,
  withControl,
} from './variants.js';

// Sections of the report on what routers have learned.

/** Of a training. */
const QUARTERS = [0, 0.25, 0.5, 0.75, 1];

const NO_RUNS = '_No run yet._';

/** Perplexities after the same tokens, tested against the baseline and against hash. */
export function equalitySection({ quality }: Comparison, findings: Findings): string {
  if (quality.runs.length === 0) return NO_RUNS;
  const references = [
    [BASELINE, findings.equivalence],
    [PLAIN_BASELINE, findings.equivalenceToPlain],
    ['hash', findings.equivalenceToHash],
    [LEVEL_1_CONTROL, findings.equivalenceToTwoLevelHash],
  ] as const;
  return [
    `Perplexity after the same text, seed by seed, in brackets the least and the greatest of the seeds; then the mean change against other routers with its 95 % interval (Student's t on the logarithms of the ratios of runs with the same seed). Two routers are equal if two one-sided t-tests (TOST) on these logarithms reject both that one is worse by ${percent(MARGIN)} and that it is better by ${percent(MARGIN)}, at p < ${SIGNIFICANCE}; p is the larger of the two. They are "not equal" where the interval lies wholly beyond that margin, and "undecided" otherwise: the seeds are too few or too far apart. These p values are not corrected for their number; those above are.`,
    table([
      ['router', 'perplexity', ...references.map(([id]) => `vs ${labelOf(id)}`)],
      ...quality.variants.map((variant) => {
        const spread = quality.spread(variant, perplexityOf);
        return [
          labelOf(variant),
          spread === null ? '' : withSpread(spread, (value) => value.toFixed(2)),
          ...references.map(([, equivalences]) => equivalenceCell(equivalences[variant])),
        ];
      }),
    ]),
    comparability(quality.variants),
    'On the way, the median of the seeds:',
    curveTable(quality),
  ].join('\n\n');
}

/** Perplexity at every quarter of the training, of the routers whose validation is that of all tokens. */
function curveTable(quality: Comparison['quality']): string {
  const curves = quality.variants
    .filter((variant) => !VARIANTS[variant].validatedWithDrops)
    .map((variant) => ({
      variant,
      curve: medianCurve(
        quality.of(variant).map(({ figures }) => figures.validations),
        (point) => point.perplexity,
      ),
    }));
  const [first] = curves;
  if (first === undefined) return NO_RUNS;
  const steps = new Set(QUARTERS.map((q) => first.curve[Math.round(q * (first.curve.length - 1))]!.step));
  return table([
    ['router', ...[...steps].map((step) => `step ${step}`)],
    ...curves.map(({ variant, curve }) => [
      labelOf(variant),
      ...[...steps].map((step) => curve.find((point) => point.step === step)?.value.toFixed(2) ?? ''),
    ]),
  ]);
}

/** "+0.4 % (+0.1 % to +0.7 %), p = 0.012: equal" */
function equivalenceCell(equivalence: Equivalence | undefined): string {
  if (equivalence === undefined) return '';
  const { p, verdict } = equivalence;
  const change = withInterval(equivalence);
  if (p === null) return change;
  // The p of a test of equality beside "not equal" would read as that of a difference.
  return verdict === 'not equal' ? `${change}: ${verdict}` : `${change}, ${probability(p)}: ${verdict}`;
}

/** How routers are validated that train without most of their tokens. */
function comparability(variants: readonly VariantId[]): string {
  const dropping = variants.filter((variant) => VARIANTS[variant].validatedWithDrops);
  const causal =
    'Validation is causal: no router looks at later tokens, and those that keep the first tokens drop none.';
  if (dropping.length === 0) return causal;
  const labels = dropping.map((variant) => labelOf(variant)).join(' and ');
  return `${causal} The exception is ${labels}: trained on a part of the tokens and validated on all, such a model would be given more experts than near-hash selection gives, whose thresholds keep as few outside training. Here it is validated with the drops of its training, with domains in turn within the batch as there; as experts keep who comes first, that looks at no later token either. Both are in the section on rules below.`;
}

/** What a user gains: time until the baseline's last perplexity is reached. */
export function timeSection({ timeToBaseline, timeToPlain }: Findings): string {
  if (Object.keys(timeToBaseline).length === 0) return NO_RUNS;
  return [
    `Tokens until a router's validation curve comes down to the perplexity at which ${labelOf(BASELINE)} with the same seed ends (between two validations by the straight line of the loss), median of the seeds; times the time of its step on the emulated cluster, median too. All are shares of what ${labelOf(BASELINE)} takes, and no test was planned for them. The learning rate falls over the whole run, so a run that is made to end earlier would get there with fewer tokens; that helps every router.`,
    timeTable(timeToBaseline),
    `The same to the perplexity at which ${labelOf(PLAIN_BASELINE)}, without preferences, ends, as shares of what that takes:`,
    timeTable(timeToPlain),
  ].join('\n\n');
}

function timeTable(times: Findings['timeToBaseline']): string {
  if (Object.keys(times).length === 0) return NO_RUNS;
  const share = (value: number | null) => (value === null ? '' : value.toFixed(2));
  const variants = withControl(Object.keys(times) as VariantId[]);
  return table([
    ['router', 'tokens', 'step time', 'time'],
    ...variants.map((variant) => {
      const found = times[variant];
      if (found === undefined) return [labelOf(variant), 'no run', '', ''];
      const missed = VARIANTS[variant].validatedWithDrops ? 'no curve with its drops' : 'does not get there';
      return [
        labelOf(variant),
        found.tokens === null ? missed : share(found.tokens),
        share(found.stepTime),
        share(found.time),
      ];
    }),
  ]);
}

/** The price of fewer tokens per expert, beside that of tokens chosen by nothing. */
export function frontierSection({ frontier }: Findings): string {
  if (frontier.length === 0) return NO_RUNS;
  const controls = Object.keys(CONTROLS) as Control[];
  const lines = controls.map((control) => ({ control, line: controlLine(frontier, control) }));
  const atSameTokens = ({ router, tokensPerExpert }: FrontierPoint) =>
    lines.map(({ control, line }) => {
      const own = (CONTROLS[control] as readonly VariantId[]).includes(router);
      const perplexity = own ? null : perplexityAt(line, tokensPerExpert);
      return perplexity === null ? '' : perplexity.toFixed(2);
    });
  return [
    `Each router with several capacities, seed ${FRONTIER_SEED}: tokens that an expert works on in a step, mean over the training, and the perplexity that they buy. Perplexity is taken with about as many tokens for an expert in validation as in training, so that a point has one number of tokens: near-hash selection by its thresholds, the others with the drops of training (first come). Beside it, at the same number of tokens: near-hash selection whose experts keep random candidates, drawn anew in each step and weighed by a softmax, and hash routing whose experts keep the first tokens, both between their nearest points by the straight line of the loss; empty where a line does not reach. To be below both is not yet to choose well: a fixed list of token ids, with the weights of near-hash selection and no affinity, is the control that is missing.`,
    table([
      [
        'router',
        'capacity',
        'tokens per expert',
        `vs ${labelOf(BASELINE)}`,
        'perplexity',
        'random tokens',
        'hash, first come',
      ],
      ...frontier.map((point) => [
        labelOf(point.router),
        `\`${point.capacity}\``,
        point.tokensPerExpert.toFixed(0),
        point.tokensVsBaseline === null || isBaseline(point) ? '' : signedPercent(point.tokensVsBaseline),
        point.perplexity.toFixed(2),
        ...atSameTokens(point),
      ]),
    ]),
  ].join('\n\n');
}

function isBaseline({ router, tokensVsBaseline }: FrontierPoint): boolean {
  return router === BASELINE && tokensVsBaseline === 0;
}

/**
 * Loss under the rule of training, which ranks or drops tokens over the whole batch, and under the causal rule; and how many
 * experts work on a token.
 */
export function ruleSection({ quality }: Comparison, numExperts: number): string {
  const rows = quality.variants.flatMap((variant) => {
    const runs = quality
      .of(variant)
      .flatMap(({ byRule, figures }) => (byRule === null ? [] : [{ ...byRule, figures }]));
    if (runs.length === 0) return [];
    const middle = (of: (run: (typeof runs)[number]) => number) => median(runs.map(of));
    const gap = middle(({ causal, training }) => training.loss - causal.loss);
    const expertsInTraining = middle(
      ({ figures }) => (figures.tokensPerExpertOfLastQuarter * numExperts) / figures.tokensPerStep,
    );
    return [
      [
        labelOf(variant),
        middle(({ causal }) => causal.loss).toFixed(3),
        middle(({ training }) => training.loss).toFixed(3),
        `${gap >= 0 ? '+' : ''}${gap.toFixed(3)}`,
        expertsInTraining.toFixed(2),
        middle(({ causal }) => causal.expertsPerToken).toFixed(2),
        middle(({ training }) => training.expertsPerToken).toFixed(2),
      ],
    ];
  });
  if (rows.length === 0) return NO_RUNS;
  return [
    'Cross-entropy of the last checkpoint on the validation text, in nats per token, medians over seeds: by the causal rule, and by the rule of training, which drops tokens by what else is in the batch. Experts that rank the batch (near-hash selection, ECR) see later tokens by that rule. Beside it, how many experts work on a token: in the last quarter of the training, and in validation by either rule.',
    table([
      ['router', 'causal', 'training', 'gap', 'experts of a token: trained', 'causal', 'training'],
      ...rows,
    ]),
  ].join('\n\n');
}
