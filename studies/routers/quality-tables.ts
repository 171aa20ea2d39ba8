import { median, withSpread } from '../../packages/bench/src/statistics.js';
import { signedPercent, table } from '../kit/text.js';
import { type Comparison, medianCurve } from './comparison.js';
import type { Equivalence } from './equivalence.js';
import { EQUAL_TO, type Findings } from './figures.js';
import { CONTROLS, type Control, controlLine, type FrontierPoint, perplexityAt } from './frontier.js';
import { probability, withInterval } from './papers.js';
import { perplexityOf } from './time-to-baseline.js';
import { BASELINE, labelOf, VARIANTS, type VariantId, withControl } from './variants.js';

// Tables of the page on what routers have learned; empty without runs.

/** Shares of a training after which perplexities are shown. */
const QUARTERS = [0, 0.25, 0.5, 0.75, 1];

/** Perplexities after the same tokens, tested against the baseline and against hash. */
export function equalityTable({ quality }: Comparison, findings: Findings): string {
  if (quality.runs.length === 0) return '';
  const references = Object.entries(EQUAL_TO) as [keyof typeof EQUAL_TO, VariantId][];
  return table([
    ['router', 'perplexity', ...references.map(([, id]) => `vs ${labelOf(id)}`)],
    ...quality.variants.map((variant) => {
      const spread = quality.spread(variant, perplexityOf);
      return [
        labelOf(variant),
        spread === null ? '' : withSpread(spread, (value) => value.toFixed(2)),
        ...references.map(([name]) => equivalenceCell(findings.equality[name][variant])),
      ];
    }),
  ]);
}

/** Perplexity at every quarter of the training, of the routers whose validation is that of all tokens. */
export function curveTable({ quality }: Comparison): string {
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
  if (first === undefined) return '_No run yet._';
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

/** Time until the last perplexity of a reference is reached. */
export function timeTable(times: Findings['times']['timeToBaselinePerplexity']): string {
  if (Object.keys(times).length === 0) return '';
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
export function frontierTable({ frontier }: Findings): string {
  if (frontier.length === 0) return '';
  const controls = Object.keys(CONTROLS) as Control[];
  const lines = controls.map((control) => ({ control, line: controlLine(frontier, control) }));
  const atSameTokens = ({ router, tokensPerExpert }: FrontierPoint) =>
    lines.map(({ control, line }) => {
      const own = (CONTROLS[control] as readonly VariantId[]).includes(router);
      const perplexity = own ? null : perplexityAt(line, tokensPerExpert);
      return perplexity === null ? '' : perplexity.toFixed(2);
    });
  return table([
    [
      ...['router', 'capacity', 'tokens per expert', `vs ${labelOf(BASELINE)}`, 'perplexity'],
      ...['random tokens', 'hash, first come'],
    ],
    ...frontier.map((point) => [
      labelOf(point.router),
      `\`${point.capacity}\``,
      point.tokensPerExpert.toFixed(0),
      point.tokensVsBaseline === null || isBaseline(point) ? '' : signedPercent(point.tokensVsBaseline),
      point.perplexity.toFixed(2),
      ...atSameTokens(point),
    ]),
  ]);
}

function isBaseline({ router, tokensVsBaseline }: FrontierPoint): boolean {
  return router === BASELINE && tokensVsBaseline === 0;
}

/**
 * Loss under the rule of training, which ranks or drops tokens over the whole batch, and under the causal rule; and how many
 * experts work on a token.
 */
export function ruleTable({ quality }: Comparison, numExperts: number): string {
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
  if (rows.length === 0) return '';
  return table([
    ['router', 'causal', 'training', 'gap', 'experts of a token: trained', 'causal', 'training'],
    ...rows,
  ]);
}
