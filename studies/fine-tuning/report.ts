import type { Interval } from 'locmoe/internal/evaluation/statistics';
import { formatCount, formatDuration, formatNumberOf } from 'locmoe/internal/format';
import { spreadOf } from '../../packages/bench/src/statistics.js';
import { type Picture, picturesOf } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import type { View } from '../kit/text.js';
import { percent, signed, table, withSpread } from '../kit/text.js';
import {
  type Difference,
  type Figures,
  isAtChance,
  type MeasureFigures,
  PLUS,
  type RouterFigures,
} from './figures.js';
import { BASELINE, labelOf, ROUTERS } from './routers.js';

const picture = picturesOf('fine-tuning');

export function reportOf(figures: Figures): Report {
  const { measures, headlineTask, plusVsBaseline, base, tuning, models, seeds, material, limit } = figures;
  const scores = measures.filter(({ measure }) => measure !== 'likelihood');
  const likelihoods = measures.filter(({ measure }) => measure === 'likelihood');
  return {
    view: {
      plusName: labelOf(PLUS),
      baselineName: labelOf(BASELINE),
      parameters: formatCount(base.parameters),
      baseTokens: formatCount(base.tokens),
      recipe: base.recipe,
      baseSteps: base.steps,
      window: base.window,
      hours: base.hours.toFixed(2),
      seeds: `${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}`,
      tuneSteps: tuning.steps,
      tokensOfStep: formatCount(tuning.tokens / tuning.steps),
      answerTokens: formatCount(tuning.answerTokens),
      material,
      limit: limit && formatNumberOf(limit, 'question'),
      headlineTask,
      plus: plusVsBaseline && {
        difference: points(plusVsBaseline.difference),
        ...intervals(plusVsBaseline, points),
      },
      summary: measures.map((each) => ({
        task: taskLabel(each),
        chance: percent(each.chance),
        likelihood: each.measure === 'likelihood' && plusLikelihood(each),
        score: each.measure !== 'likelihood' && againstChance(each),
      })),
      gains: scores.flatMap(gainOf),
      scores: scores.map((each) => ({
        task: taskLabel(each),
        questions: formatNumberOf(each.n, 'question'),
        cut: each.cutPrompts
          ? percent(each.cutPrompts[each.measure === 'letter' ? 'letter' : 'continuation'])
          : null,
        table: scoreTable(each),
      })),
      likelihoods: likelihoods.map((each) => ({
        task: each.task,
        table: table([
          HEAD,
          ...each.routers.map((router) => cells(router, (value) => value.toFixed(3), nats)),
        ]),
      })),
      numModels: models.length,
      totalTime: formatDuration(3600 * base.hours * models.length),
      losses: lossTable(figures),
    },
    pictures: [scorePicture('scores', scores), scorePicture('likelihoods', likelihoods)],
  };
}

/** A task and how its options were scored: by continuation, if it does not say. */
function taskLabel({ task, measure }: MeasureFigures): string {
  return measure === 'letter' ? `${task} by letter` : task;
}

/** 0.0672 -> "+6.7" */
function points(share: number): string {
  return signed(100 * share, 1);
}

function nats(difference: number): string {
  return signed(difference, 3);
}

/** Both intervals of a difference; over seeds only where there are several. */
function intervals({ interval, intervalOverSeeds }: Difference, format: (value: number) => string): View {
  return {
    byQuestion: span(interval, format),
    overSeeds: intervalOverSeeds && span(intervalOverSeeds, format),
  };
}

function span({ low, high }: Interval, format: (value: number) => string): string {
  return `${format(low)} .. ${format(high)}`;
}

function figuresOfRouter({ routers }: MeasureFigures, id: string): RouterFigures | undefined {
  return routers.find(({ router }) => router === id);
}

function plusLikelihood(each: MeasureFigures): View | null {
  const plus = figuresOfRouter(each, PLUS)?.againstBaseline;
  return plus ? { difference: nats(plus.difference), ...intervals(plus, nats) } : null;
}

/** Names the routers that are further from chance than two standard errors. */
function againstChance({ chance, routers }: MeasureFigures): View {
  const away = routers.filter(({ after }) => !isAtChance(after, chance));
  const list = (some: readonly RouterFigures[]) =>
    some.map(({ router, after }) => `${labelOf(router)} ${percent(after.value)}`).join(', ');
  return {
    away: list(away),
    others: list(routers.filter((router) => !away.includes(router))),
    wasAway: routers.some(({ before }) => !isAtChance(before, chance)),
  };
}

/** Returns the gain of `locmoe-plus` over the baseline, where both were measured. */
function gainOf(each: MeasureFigures): View[] {
  const [baseline, plus] = [BASELINE, PLUS].map((id) => figuresOfRouter(each, id)?.after.value);
  if (baseline === undefined || plus === undefined) return [];
  const over = (whole: number) => `${signed((100 * (plus - baseline)) / whole, 1)} %`;
  return [
    {
      task: taskLabel(each),
      baseline: percent(baseline),
      plus: percent(plus),
      points: points(plus - baseline),
      overBaseline: over(baseline),
      overPlus: over(plus),
    },
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

function scoreTable({ routers, chance, majority, firstLongest }: MeasureFigures): string {
  const without = (name: string, share: number | undefined) =>
    share === undefined ? [] : [[name, '', percent(share), ...Array<string>(5).fill('')]];
  return table([
    HEAD,
    ...routers.map((router) => cells(router, percent, points)),
    ...without('chance', chance),
    ...without('the most frequent letter', majority),
    ...without('the first longest option', firstLongest),
  ]);
}

function lossTable({ models }: Figures): string {
  const lossesOf = (id: string, training: 'base' | 'tuned') => {
    const losses = models.filter(({ router }) => router === id).flatMap((model) => model[training] ?? []);
    return losses.length === 0 ? '-' : withSpread(spreadOf(losses), (loss) => loss.toFixed(3));
  };
  return table([
    ['router', 'base', 'fine-tuned'],
    ...[...new Set(models.map(({ router }) => router))].map((router) => [
      labelOf(router),
      lossesOf(router, 'base'),
      lossesOf(router, 'tuned'),
    ]),
  ]);
}

function scorePicture(name: string, figures: readonly MeasureFigures[]): Picture | null {
  const rows = figures.flatMap((each) =>
    each.routers.flatMap((router) =>
      (['before', 'after'] as const).map((phase) => {
        const { value, stderr } = router[phase];
        return {
          task: taskLabel(each),
          router: labelOf(router.router),
          phase,
          ...(each.measure !== 'likelihood' && { chance: each.chance }),
          value,
          low: value - (stderr ?? 0),
          high: value + (stderr ?? 0),
        };
      }),
    ),
  );
  return picture(name, rows, { routers: ROUTERS.map(({ label }) => label) });
}
