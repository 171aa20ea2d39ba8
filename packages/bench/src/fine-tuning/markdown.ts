import { formatCount, formatDuration, formatNumberOf } from 'locmoe/format';
import { keptReasons, percent, table, withSpread } from '../markdown.js';
import type { Chart } from '../picture.js';
import { BASELINE, VARIANTS, type VariantId } from '../routers/variants.js';
import { spreadOf } from '../statistics.js';
import { isAtChance, type MeasureFigures, type RouterFigures } from './figures.js';
import type { Comparison, Headline } from './headline.js';
import { describeMaterial } from './material.js';
import { PLUS } from './models.js';
import { PAPER_SCORES, PAPER_TASKS, paperScore } from './paper.js';
import { points, probability, signed, taskLabel } from './words.js';

interface Report extends Comparison {
  readonly figures: readonly MeasureFigures[];
  readonly headline: Headline;
  readonly charts: readonly Chart[];
}

/** The report as Markdown. `previous` is the text of the report to replace; empty for none. */
export function reportMarkdown(report: Report, previous: string): string {
  const { figures, headline, charts } = report;
  const scored = figures.filter(({ measure }) => measure !== 'likelihood');
  const likelihoods = figures.filter(({ measure }) => measure === 'likelihood');
  return [
    '# Fine-tuning',
    introduction(report),
    '## What it says',
    summary(report),
    '## What it comes from',
    keptReasons(previous),
    "## The paper's table and ours",
    paperSection(report),
    '## Right answers',
    SCORES,
    ...scored.flatMap(scoreSection),
    '## How likely the right answer is',
    LIKELIHOODS,
    ...likelihoods.flatMap(likelihoodSection),
    '## The models',
    modelSection(report),
    '## Pictures',
    ...charts.map(
      ({ name, title, caption }) => `![${title}](fine-tuning-${name}.svg)\n\n*${title}.* ${caption}`,
    ),
    `Made by \`${headline.command}\` on ${headline.machine}.`,
  ]
    .join('\n\n')
    .concat('\n');
}

const SCORES = `Mean over questions and seeds, by the rules of \`locmoe eval\` without shots: by continuation the option counts whose text is likeliest per
character, in the cloze the continuation that its context makes likelier by most. The standard error is that of the questions, of the
score after fine-tuning. Against the baseline: points after fine-tuning; their 95 % interval, by a paired bootstrap of the questions;
p by question, McNemar's test in which a question counts for the router that has it right with more seeds; p over seeds, a
paired t-test of the seeds' scores. The former says whether these models differ, the latter whether others of the same routers would.`;

const LIKELIHOODS = `Log-likelihood of the right answer in nats per character, in the cloze per token: less far below 0 is better. It moves long before the
order of the options does. Against the baseline as above.`;

function introduction({ headline, config, results, material, limit }: Report): string {
  const { base, tuning, seeds } = headline;
  return [
    `Each router trained a model of ${formatCount(base.parameters)} parameters on ${formatCount(base.tokens)} tokens (recipe \`${base.recipe}\`, ${base.steps} steps, windows of ${config.model.seqLen} tokens,`,
    `${base.hours.toFixed(2)} hours each on two ranks), ${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}. \`locmoe train --instruct\` then fine-tuned it for ${tuning.steps} steps of`,
    `${formatCount(tuning.tokens / tuning.steps)} tokens (with about ${formatCount(results[0].tuned.answerTokens)} tokens of answers in all), without early stop: all learn from the same text, and as much of it.`,
    'Routers have the settings of `bench routers`. On one node every expert is local, so what the locality loss is for has no part here.',
    '',
    `${describeMaterial(material)}.`,
    ...(limit === null
      ? []
      : ['', `**The first ${formatNumberOf(limit, 'question')} of each file alone: not for reporting.**`]),
  ].join('\n');
}

function summary({ figures, headline }: Report): string {
  const { headlineTask, plusVsBaselinePoints, pValue, pValueOverSeeds } = headline;
  const lines = [];
  if (plusVsBaselinePoints !== null)
    lines.push(
      `${headlineTask} after fine-tuning: LocMoE+ is **${points(plusVsBaselinePoints / 100)} points** against the baseline (p ${probability(pValue!)} by question${pValueOverSeeds === null ? '' : `, ${probability(pValueOverSeeds)} over seeds`}).`,
    );
  for (const each of figures) {
    if (each.measure !== 'likelihood') lines.push(againstChance(each));
    else {
      const plus = each.routers.find(({ router }) => router === PLUS)?.againstBaseline;
      if (plus != null)
        lines.push(
          `${each.task}, likelihood of the right answer: LocMoE+ ${signed(plus.difference, 3)} nats against the baseline (p ${probability(plus.pValue)} by question${plus.pValueOverSeeds === null ? '' : `, ${probability(plus.pValueOverSeeds)} over seeds`}).`,
        );
    }
  }
  return lines.map((line) => `- ${line}`).join('\n');
}

/** Which routers are further from chance than two standard errors. */
function againstChance(each: MeasureFigures): string {
  const { chance, routers } = each;
  const label = `${taskLabel(each)} (chance ${percent(chance)})`;
  const away = routers.filter(({ after }) => !isAtChance(after, chance));
  const wasAway = routers.some(({ before }) => !isAtChance(before, chance));
  if (away.length === 0)
    return wasAway
      ? `${label}: every router is **at chance** after fine-tuning.`
      : `${label}: every router is **at chance**, before and after fine-tuning.`;
  const of = (some: readonly RouterFigures[]) =>
    some.map(({ router, after }) => `${VARIANTS[router].label} ${percent(after.value)}`).join(', ');
  const others = routers.filter((router) => !away.includes(router));
  return `${label}: ${of(away)} after fine-tuning${others.length === 0 ? '' : `; at chance: ${of(others)}`}.`;
}

function paperSection({ figures }: Report): string {
  const rows = Object.entries(PAPER_SCORES).map(([router, scores]) => [
    VARIANTS[router as VariantId].label,
    ...scores.map((score) => score.toFixed(1)),
  ]);
  const gain = (name: string, baseline: number, plus: number) => [
    ...[name, percent(baseline), percent(plus), points(plus - baseline)],
    ...[baseline, plus].map((whole) => `${signed((100 * (plus - baseline)) / whole, 1)} %`),
  ];
  const ours = figures
    .filter(({ measure }) => measure !== 'likelihood')
    .flatMap((each) => {
      const [baseline, plus] = [BASELINE, PLUS].map((id) => each.routers.find(({ router }) => router === id));
      return baseline === undefined || plus === undefined
        ? []
        : [gain(`here: ${taskLabel(each)}`, baseline.after.value, plus.after.value)];
    });
  const paper = (['GDAD average', 'TeleQnA'] as const).map((task) =>
    gain(`paper: ${task}`, paperScore(BASELINE, task), paperScore(PLUS, task)),
  );
  return [
    'LocMoE+ (arXiv 2406.00023) after fine-tuning, Mixtral 8x7B, in percent. It gives no seeds, shots or errors, its average is not the mean of its columns, and GDAD is private.',
    table([['paper', ...PAPER_TASKS], ...rows]),
    'The gains of "9.7 % to 14.1 %" divide by the new score. Points are what can be compared; both divisions stand beside them.',
    table([
      ['', 'baseline', 'LocMoE+', 'points', "of the baseline's score", "of LocMoE+'s"],
      ...paper,
      ...ours,
    ]),
  ].join('\n\n');
}

function scoreSection(each: MeasureFigures): string[] {
  const { n, chance, majority, firstLongest, cutPrompts, measure, routers } = each;
  const without = (name: string, share: number | undefined) =>
    share === undefined ? [] : [[name, '', percent(share), ...Array<string>(6).fill('')]];
  const cut =
    cutPrompts === undefined
      ? ''
      : `; ${percent(cutPrompts[measure === 'letter' ? 'letter' : 'continuation'])} of the prompts are cut to the window`;
  return [
    `### ${taskLabel(each)}`,
    `${formatNumberOf(n, 'question')}${cut}.`,
    table([
      HEAD,
      ...routers.map((figures) => cells(figures, percent, (gain) => points(gain))),
      ...without('chance', chance),
      ...without('the most frequent letter', majority),
      ...without('the first longest option', firstLongest),
    ]),
  ];
}

function likelihoodSection(each: MeasureFigures): string[] {
  const nats = (value: number) => value.toFixed(3);
  return [
    `### Likelihood: ${each.task}`,
    table([HEAD, ...each.routers.map((figures) => cells(figures, nats, (gain) => signed(gain, 3)))]),
  ];
}

const HEAD = [
  ...['router', 'before', 'after', 'std. error', 'seeds', 'against the baseline', '95 %'],
  ...['p by question', 'p over seeds'],
];

function cells(
  { router, before, after, seeds, againstBaseline }: RouterFigures,
  format: (value: number) => string,
  formatGain: (value: number) => string,
): string[] {
  const gains =
    againstBaseline === null
      ? ['', '', '', '']
      : [
          formatGain(againstBaseline.difference),
          `${formatGain(againstBaseline.interval.low)} .. ${formatGain(againstBaseline.interval.high)}`,
          probability(againstBaseline.pValue),
          againstBaseline.pValueOverSeeds === null ? '-' : probability(againstBaseline.pValueOverSeeds),
        ];
  return [
    VARIANTS[router].label,
    ...[format(before.value), format(after.value), after.stderr === null ? '-' : format(after.stderr)],
    seeds.map(format).join(', '),
    ...gains,
  ];
}

function modelSection({ results, headline }: Report): string {
  const routers = [...new Set(results.map(({ router }) => router))];
  const lossesOf = (router: VariantId, training: 'base' | 'tuned') => {
    const losses = results
      .filter((result) => result.router === router)
      .flatMap((result) => result[training].loss ?? []);
    return losses.length === 0 ? '-' : withSpread(spreadOf(losses), (loss) => loss.toFixed(3));
  };
  const total = formatDuration(3600 * headline.base.hours * results.length);
  return [
    `Validation loss in nats per token: of the base models on text, after fine-tuning on held-out answers; median of the seeds, least to greatest in brackets. All ${results.length} base models together took ${total}.`,
    table([
      ['router', 'base', 'fine-tuned'],
      ...routers.map((router) => [
        VARIANTS[router].label,
        lossesOf(router, 'base'),
        lossesOf(router, 'tuned'),
      ]),
    ]),
  ].join('\n\n');
}
