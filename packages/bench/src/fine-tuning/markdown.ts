import type { Interval } from 'locmoe/internal/evaluation/statistics';
import { formatCount, formatDuration, formatNumberOf } from 'locmoe/internal/format';
import { keptReasons, percent, table, withSpread } from '../markdown.js';
import type { Chart } from '../picture.js';
import { BASELINE, labelOf, type VariantId } from '../routers/variants.js';
import { spreadOf } from '../statistics.js';
import { type Difference, isAtChance, type MeasureFigures, type RouterFigures } from './figures.js';
import type { Comparison, Headline } from './headline.js';
import { describeMaterial } from './material.js';
import { PLUS } from './models.js';
import { PAPER_LABELS, PAPER_SCORES, PAPER_TASKS, paperScore } from './paper.js';
import { points, signed, taskLabel } from './words.js';

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
score after fine-tuning. Against the baseline: points after fine-tuning, with their 95 % interval by question (a paired bootstrap) and
over seeds (Student's t on the differences of the seeds' scores). The former says by how much these models differ, the latter by how
much others of the same routers would. They are not corrected for their number: about one in twenty misses the true value.`;

const LIKELIHOODS = `Log-likelihood of the right answer in nats per character, in the cloze per token: less far below 0 is better. It moves long before the
order of the options does. Against the baseline as above.`;

function introduction({ headline, config, results, material, limit }: Report): string {
  const { base, tuning, seeds } = headline;
  return [
    `Each router trained a model of ${formatCount(base.parameters)} parameters on ${formatCount(base.tokens)} tokens (recipe \`${base.recipe}\`, ${base.steps} steps, windows of ${config.model.seqLen} tokens,`,
    `${base.hours.toFixed(2)} hours each on two ranks), ${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}. \`locmoe train --instruct\` then fine-tuned it for ${tuning.steps} steps of`,
    `${formatCount(tuning.tokens / tuning.steps)} tokens (with about ${formatCount(results[0]!.tuned.answerTokens)} tokens of answers in all), without early stop: all learn from the same text, and as much of it.`,
    'Routers have the names and settings of `bench routers` ([routers.md](routers.md#names)): all have a token preference, and near-hash selection admits a fixed share. On one node every expert is local, so what the locality loss is for has no part here.',
    '',
    `${describeMaterial(material)}.`,
    ...(limit === null
      ? []
      : ['', `**The first ${formatNumberOf(limit, 'question')} of each file alone: not for reporting.**`]),
  ].join('\n');
}

function summary({ figures, headline }: Report): string {
  const { headlineTask, plusVsBaseline } = headline;
  const against = `against ${labelOf(BASELINE)}`;
  const lines = [];
  if (plusVsBaseline !== null)
    lines.push(
      `${headlineTask} after fine-tuning: ${labelOf(PLUS)} is **${points(plusVsBaseline.difference)} points** ${against} (${intervals(plusVsBaseline, points)}).`,
    );
  for (const each of figures) {
    if (each.measure !== 'likelihood') lines.push(againstChance(each));
    else {
      const plus = each.routers.find(({ router }) => router === PLUS)?.againstBaseline;
      if (plus != null)
        lines.push(
          `${each.task}, likelihood of the right answer: ${labelOf(PLUS)} ${nats(plus.difference)} nats ${against} (${intervals(plus, nats)}).`,
        );
    }
  }
  return lines.map((line) => `- ${line}`).join('\n');
}

function nats(difference: number): string {
  return signed(difference, 3);
}

/** "95 % by question -0.9 .. +0.5", and over seeds where there are several. */
function intervals({ interval, intervalOverSeeds }: Difference, format: (value: number) => string): string {
  const overSeeds = intervalOverSeeds === null ? 'one seed' : `over seeds ${span(intervalOverSeeds, format)}`;
  return `95 % by question ${span(interval, format)}, ${overSeeds}`;
}

function span({ low, high }: Interval, format: (value: number) => string): string {
  return `${format(low)} .. ${format(high)}`;
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
    some.map(({ router, after }) => `${labelOf(router)} ${percent(after.value)}`).join(', ');
  const others = routers.filter((router) => !away.includes(router));
  return `${label}: ${of(away)} after fine-tuning${others.length === 0 ? '' : `; at chance: ${of(others)}`}.`;
}

function paperSection({ figures }: Report): string {
  const rows = Object.entries(PAPER_SCORES).map(([router, scores]) => [
    PAPER_LABELS[router as VariantId]!,
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
    `The gains of "9.7 % to 14.1 %" divide by the new score. Points are what can be compared; both divisions stand beside them. The rows of the paper are its own LocMoE+ and baseline, those here are ${labelOf(PLUS)} and ${labelOf(BASELINE)}.`,
    table([
      ['', 'baseline', 'locmoe-plus', 'points', "of the baseline's score", 'of the score of locmoe-plus'],
      ...paper,
      ...ours,
    ]),
  ].join('\n\n');
}

function scoreSection(each: MeasureFigures): string[] {
  const { n, chance, majority, firstLongest, cutPrompts, measure, routers } = each;
  const without = (name: string, share: number | undefined) =>
    share === undefined ? [] : [[name, '', percent(share), ...Array<string>(5).fill('')]];
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
  const format = (value: number) => value.toFixed(3);
  return [
    `### Likelihood: ${each.task}`,
    table([HEAD, ...each.routers.map((figures) => cells(figures, format, nats))]),
  ];
}

const HEAD = [
  ...['router', 'before', 'after', 'std. error', 'seeds', 'against the baseline'],
  ...['95 % by question', '95 % over seeds'],
];

function cells(
  { router, before, after, seeds, againstBaseline }: RouterFigures,
  format: (value: number) => string,
  formatGain: (value: number) => string,
): string[] {
  const gains = () => {
    if (againstBaseline === null) return ['', '', ''];
    const { difference, interval, intervalOverSeeds } = againstBaseline;
    const overSeeds = intervalOverSeeds === null ? '-' : span(intervalOverSeeds, formatGain);
    return [formatGain(difference), span(interval, formatGain), overSeeds];
  };
  return [
    labelOf(router),
    ...[format(before.value), format(after.value), after.stderr === null ? '-' : format(after.stderr)],
    seeds.map(format).join(', '),
    ...gains(),
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
      ...routers.map((router) => [labelOf(router), lossesOf(router, 'base'), lossesOf(router, 'tuned')]),
    ]),
  ].join('\n\n');
}
