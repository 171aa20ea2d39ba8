import { TrainerError } from 'locmoe/internal/errors';
import { type RunFigures, USED_SHARE, WARM_UP_STEPS } from '../../packages/bench/src/routers/run-figures.js';
import { withSpread } from '../../packages/bench/src/statistics.js';
import type { Report } from '../kit/report.js';
import { percent, signedPercent, table } from '../kit/text.js';
import type { Calibration, InterNodeLink } from './calibration.js';
import { cellLabel, chartsOf } from './charts.js';
import { Comparison } from './comparison.js';
import { costCells } from './cost.js';
import { MARGIN, SIGNIFICANCE } from './equivalence.js';
import { type Figures, findingsOf } from './figures.js';
import { type Cell, FRONTIER_SEED } from './jobs.js';
import { contrastTable, setFigures } from './papers.js';
import { curveTable, equalityTable, frontierTable, ruleTable, timeTable } from './quality-tables.js';
import {
  BASELINE,
  LEVEL_1_CONTROL,
  labelOf,
  PLAIN_BASELINE,
  VARIANT_IDS,
  VARIANTS,
  type VariantId,
  withControl,
} from './variants.js';

/** @throws TrainerError `BAD_INPUT` for figures of runs that were not kept */
export function reportOf(figures: Figures): Report {
  const { recipe, numExperts, dense, planned, calibration, cost, runs = [] } = figures;
  const comparison = new Comparison(runs);
  if (figures.allToAllShareOfBaselineStep !== null && comparison.cells.length === 0)
    throw new TrainerError('BAD_INPUT', '--report: the runs behind this routers.json were not kept');
  const findings = findingsOf(comparison);
  const { quality, cells } = comparison;
  const [run] = quality.runs;
  const [timed] = cells.flatMap((cell) => comparison.in(cell).runs);
  const dropping = quality.variants.filter((variant) => VARIANTS[variant].validatedWithDrops);
  return {
    view: {
      recipe,
      seeds: figures.seeds.join(', '),
      quality: run === undefined ? null : qualityView(run),
      dense: dense && { runId: dense.runId, denseMillion: millions(dense.tokens) },
      time: timed === undefined ? null : { timeSteps: timed.figures.steps, warmUpSteps: WARM_UP_STEPS },
      missing: Object.entries(planned).flatMap(([kind, number]) => {
        const numMissing = number - runs.filter((each) => each.kind === kind).length;
        const what = kind === 'quick' ? 'runs' : `runs for ${kind}`;
        return numMissing > 0 ? [{ numMissing, planned: number, what }] : [];
      }),
      contrasts: contrastTable(findings.contrasts),
      ...setFigures(comparison, numExperts),
      locmoe: labelOf('locmoe'),
      locmoePlus: labelOf('locmoe-plus'),
      significance: SIGNIFICANCE,
      margin: percent(MARGIN),
      equality: equalityTable(comparison, findings),
      dropping: dropping.map(labelOf).join(' and '),
      curves: curveTable(comparison),
      baseline: labelOf(BASELINE),
      plainBaseline: labelOf(PLAIN_BASELINE),
      timeToBaseline: timeTable(findings.times.timeToBaselinePerplexity),
      timeToPlain: timeTable(findings.times.timeToPlainSwitchPerplexity) || '_No run yet._',
      frontierSeed: FRONTIER_SEED,
      frontier: frontierTable(findings),
      cells: cells.map((cell) => ({ cell: cellLabel(cell), cellTable: cellTable(comparison, cell) })),
      usedShare: percent(USED_SHARE),
      rules: ruleTable(comparison, numExperts),
      settings: settingsSection(comparison),
      link: linkSection(calibration),
      cost: cost.length === 0 ? '' : table(costCells(cost)),
    },
    pictures: chartsOf(comparison, findings),
  };
}

function qualityView(run: Cell & { readonly figures: RunFigures }) {
  const { steps, tokensPerStep } = run.figures;
  return { steps, tokensPerStep, million: millions(steps * tokensPerStep), cell: cellLabel(run) };
}

function millions(tokens: number): string {
  return (tokens / 1e6).toFixed(1);
}

/** Describes the settings of each router of this comparison, beside the recipe. */
function settingsSection({ results }: Comparison): string {
  const variants = VARIANT_IDS.filter((id) => results.some(({ variant }) => variant === id));
  return variants
    .map((variant) => {
      const { sets, level1 } = VARIANTS[variant];
      const groups = level1 === undefined ? [] : [`a group of experts for each ${level1} (level 1)`];
      return `- ${labelOf(variant)} (\`${variant}\`): ${[...sets.map((set) => `\`${set}\``), ...groups].join(', ')}`;
    })
    .join('\n');
}

/** The figures of a cell are compared with the baseline, and with level 1 without a gate. */
const COMPARED_WITH: readonly VariantId[] = [BASELINE, LEVEL_1_CONTROL];

type FigureOf = (figures: RunFigures) => number | null;
const fixed = (digits: number) => (value: number) => value.toFixed(digits);

/** Table columns of a cell: a figure of its runs, with the changes where they are relevant. */
const COLUMNS: readonly (readonly [string, FigureOf, (value: number) => string, 'compared'?])[] = [
  ['step (ms)', ({ stepMs }) => stepMs.median, fixed(0), 'compared'],
  ['all-to-all', ({ allToAllShare }) => allToAllShare, percent],
  ['computing (ms)', ({ composition }) => composition.computation, fixed(0)],
  ['waiting in all-to-all (ms)', ({ composition }) => composition.waitingInAllToAll, fixed(0)],
  ['to other nodes (MB)', ({ bytesOtherNode }) => bytesOtherNode / 1e6, fixed(2), 'compared'],
  ['stayed on node', ({ localShare }) => localShare, percent],
  ['tokens per expert', ({ tokensPerExpert }) => tokensPerExpert, fixed(0), 'compared'],
  ['capacity / classic', ({ capacityRatio }) => capacityRatio, fixed(2)],
  ['dropped: full', ({ overCapacityShare }) => overCapacityShare, percent],
  ['dropped: not chosen', ({ notChosenShare }) => notChosenShare, percent],
  ['experts used', ({ expertsUsed }) => expertsUsed, String],
  ['token-gate cosine', ({ gateCosine }) => gateCosine, fixed(2)],
];

function cellTable(comparison: Comparison, cell: Cell): string {
  const runs = comparison.in(cell);
  const changes = (variant: VariantId, of: FigureOf) =>
    COMPARED_WITH.map((reference) => {
      const change = runs.ratio(variant, reference, ({ figures }) => of(figures));
      return variant === reference || change === null ? '' : signedPercent(change.median);
    });
  const cells = (variant: VariantId) =>
    COLUMNS.flatMap(([, of, format, compared]) => {
      const spread = runs.spread(variant, ({ figures }) => of(figures));
      return [spread === null ? '' : withSpread(spread, format), ...(compared ? changes(variant, of) : [])];
    });
  const isRun = (variant: VariantId) => runs.of(variant).length > 0;
  const names = COMPARED_WITH.map((reference) => `vs ${labelOf(reference)}`);
  const head = COLUMNS.flatMap(([name, , , compared]) => (compared ? [name, ...names] : [name]));
  return table([
    ['router', ...head],
    ...withControl(runs.variants).map((variant) => [
      labelOf(variant),
      ...(isRun(variant) ? cells(variant) : head.map((_, i) => (i === 0 ? 'no run' : ''))),
    ]),
  ]);
}

function linkSection(calibration: Calibration | null): string {
  if (calibration === null) return '_Not searched yet._';
  const { link, share, trials } = calibration;
  if (share === null) return `The link was given: ${linkLabel(link)}.`;
  return [
    `The link is set by short runs of ${labelOf(BASELINE)} so that all-to-all takes nearly as much of its step as on the paper's 256 NPUs, 28.7 % (18.1 % on 128); chosen: **${linkLabel(link)}**, where a short run reached ${percent(share)}.`,
    table([
      ['link', 'all-to-all of the step'],
      ...trials.map((trial) => [linkLabel(trial.link), percent(trial.share)]),
    ]),
  ].join('\n\n');
}

function linkLabel(link: InterNodeLink): string {
  return link === null ? 'no limit' : `${link.gbps} Gb/s, ${link.latencyMs} ms`;
}
