import { tokensPerStep } from '@locmoe/run-format';
import type { Manifest } from 'locmoe/internal/checkpoint/manifest';
import { keptReasons, percent, signedPercent, table, withSpread } from '../markdown.js';
import type { Chart } from '../picture.js';
import type { Calibration, InterNodeLink } from './calibration.js';
import { cellLabel } from './chart-style.js';
import type { Comparison } from './comparison.js';
import { type CostRow, costCells } from './cost.js';
import type { Findings, Headline } from './headline.js';
import type { Cell, Kind } from './jobs.js';
import { paperSection, setFiguresOf } from './papers.js';
import { equalitySection, frontierSection, ruleSection, timeSection } from './quality-sections.js';
import { type RunFigures, USED_SHARE, WARM_UP_STEPS } from './run-figures.js';
import {
  BASELINE,
  LEVEL_1_CONTROL,
  labelOf,
  VARIANT_IDS,
  VARIANTS,
  type VariantId,
  withControl,
} from './variants.js';

export interface Report {
  readonly comparison: Comparison;
  readonly findings: Findings;
  readonly headline: Headline;
  /** Null as long as no link was searched. */
  readonly calibration: Calibration | null;
  readonly cost: readonly CostRow[];
  readonly charts: readonly Chart[];
  readonly numExperts: number;
  /** Recipe or config file. */
  readonly recipe: string;
  /** What the models of the runs for quality grew from; null if they began at random. */
  readonly dense: Manifest | null;
  /** Runs of the complete comparison. */
  readonly numPlanned: Readonly<Partial<Record<Kind, number>>>;
}

/** The report as Markdown. `previous` is the text of the report to replace; empty for none. */
export function reportMarkdown(report: Report, previous: string): string {
  const { comparison, findings, headline, charts, numExperts } = report;
  return [
    '# Routers compared',
    introduction(report),
    '## Names',
    NAMES,
    "## The papers' figures and ours",
    paperSection(findings.contrasts, setFiguresOf(comparison, numExperts)),
    '## What it comes from',
    keptReasons(previous),
    '## Equal quality?',
    equalitySection(comparison, findings),
    "## Time to the baseline's perplexity",
    timeSection(findings),
    '## The price of fewer tokens',
    frontierSection(findings),
    ...comparison.cells.flatMap((cell) => [`## ${cellLabel(cell)}`, cellTable(comparison, cell)]),
    '## What looking at the batch is worth',
    ruleSection(comparison, numExperts),
    '## What each router is set to',
    settingsSection(comparison),
    '## The link between nodes',
    linkSection(report.calibration),
    '## Pictures',
    ...charts.map(({ name, title, caption }) => `![${title}](routers-${name}.svg)\n\n*${title}.* ${caption}`),
    ...(report.cost.length === 0 ? [] : ['## Cost of the gates alone', costSection(report.cost)]),
    `Made by \`${headline.command}\` on ${headline.machine}.`,
  ]
    .join('\n\n')
    .concat('\n');
}

const NAMES = [
  '**+ token preference**: a learned gate with `moe.tokenPreference=16`. A fixed random number for each token id and expert is added to its scores, at the start 256 / 257 of their variance, so that it routes nearly as a hash of the token id does.',
  `**${labelOf('locmoe-plus')}**: the router \`locmoe-plus\` with that preference, and with two of its paper's mechanisms off. The capacity is fixed instead of adaptive, and there is no locality loss. Nearly a fixed list of token ids has experts.`,
  `**${labelOf('locmoe')}**: its locality loss and its estimated capacity are off too.`,
  `**${labelOf(LEVEL_1_CONTROL)}**: PanGu-Sigma's routing, level 1 (here a group of experts for each node) and a table of token ids within a group; **${labelOf('hash')}** is such a table for all experts.`,
  `**${labelOf('switch-plain')}**, **${labelOf('locmoe-plain')}**, **${labelOf('locmoe-plus-plain')}**: the papers' routers, without a preference; what the papers leave open is set as below.`,
]
  .map((line) => `- ${line}`)
  .join('\n');

function introduction({ comparison, headline, recipe, dense, numPlanned }: Report): string {
  return [
    `Each router is trained from the same starting weights on the same data, recipe \`${recipe}\`, seeds ${headline.seeds.join(', ')}.`,
    ...qualityWords(comparison),
    ...(dense === null ? [] : [denseWords(dense)]),
    ...timeWords(comparison),
    ...Object.entries(numPlanned).flatMap(([kind, planned]) => {
      const missing = planned - comparison.results.filter((run) => run.kind === kind).length;
      const what = kind === 'quick' ? 'runs' : `runs for ${kind}`;
      return missing > 0 ? [`**${missing} of ${planned} ${what} are still missing.**`] : [];
    }),
  ].join('\n');
}

function qualityWords({ quality }: Comparison): string[] {
  const [run] = quality.runs;
  if (run === undefined) return [];
  const { steps, tokensPerStep } = run.figures;
  return [
    `Quality: ${steps} steps of ${tokensPerStep} tokens (${millions(steps * tokensPerStep)} million) on ${cellLabel(run)}. A layout changes no result beyond`,
    'rounding, but for what looks at nodes (the locality loss, and groups of experts for each node): here they are those of the first cell of times.',
    'Perplexity is that of the validation text after the last step.',
  ];
}

function denseWords({ config, runId, step }: Manifest): string {
  return [
    `These models grew from a dense one (\`--inherit\`, run \`${runId}\`), which had trained for ${millions(step * tokensPerStep(config))} million tokens.`,
    'All seeds share it: they differ in what followed alone. The dense model trained on for as many tokens is not among the rows, so nothing here says what experts are worth.',
  ].join('\n');
}

function timeWords(comparison: Comparison): string[] {
  const [run] = comparison.cells.flatMap((cell) => comparison.in(cell).runs);
  if (run === undefined) return [];
  return [
    `Time: ${run.figures.steps} steps on an emulated cluster of this machine; runs of different routers take turns. Step time is the median over the steps after`,
    `the first ${WARM_UP_STEPS}, of the slowest rank.`,
  ];
}

function millions(tokens: number): string {
  return (tokens / 1e6).toFixed(1);
}

/** What makes a router of this comparison, beside the recipe. */
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

/** Table columns of a cell: a figure of its runs, with these changes where relevant. */
const COLUMNS: readonly {
  readonly name: string;
  readonly of: (figures: RunFigures) => number | null;
  readonly format: (value: number) => string;
  readonly compared?: boolean;
}[] = [
  { name: 'step (ms)', of: ({ stepMs }) => stepMs.median, format: (ms) => ms.toFixed(0), compared: true },
  { name: 'all-to-all', of: (figures) => figures.allToAllShare, format: percent },
  { name: 'computing (ms)', of: ({ composition }) => composition.computation, format: (ms) => ms.toFixed(0) },
  {
    name: 'waiting in all-to-all (ms)',
    of: ({ composition }) => composition.waitingInAllToAll,
    format: (ms) => ms.toFixed(0),
  },
  { name: 'to other nodes (MB)', of: (figures) => figures.bytesOtherNode, format: megabytes, compared: true },
  { name: 'stayed on node', of: (figures) => figures.localShare, format: percent },
  {
    name: 'tokens per expert',
    of: (figures) => figures.tokensPerExpert,
    format: (tokens) => tokens.toFixed(0),
    compared: true,
  },
  { name: 'capacity / classic', of: (figures) => figures.capacityRatio, format: (ratio) => ratio.toFixed(2) },
  { name: 'dropped: full', of: (figures) => figures.overCapacityShare, format: percent },
  { name: 'dropped: not chosen', of: (figures) => figures.notChosenShare, format: percent },
  { name: 'experts used', of: (figures) => figures.expertsUsed, format: String },
  { name: 'token-gate cosine', of: (figures) => figures.gateCosine, format: (cosine) => cosine.toFixed(2) },
];

function cellTable(comparison: Comparison, cell: Cell): string {
  const runs = comparison.in(cell);
  const changes = (variant: VariantId, of: (figures: RunFigures) => number | null) =>
    COMPARED_WITH.map((reference) => {
      const change = runs.ratio(variant, reference, ({ figures }) => of(figures));
      return variant === reference || change === null ? '' : signedPercent(change.median);
    });
  const cells = (variant: VariantId) =>
    COLUMNS.flatMap(({ of, format, compared }) => {
      const spread = runs.spread(variant, ({ figures }) => of(figures));
      return [spread === null ? '' : withSpread(spread, format), ...(compared ? changes(variant, of) : [])];
    });
  const isRun = (variant: VariantId) => runs.of(variant).length > 0;
  const names = COMPARED_WITH.map((reference) => `vs ${labelOf(reference)}`);
  const head = COLUMNS.flatMap(({ name, compared }) => (compared ? [name, ...names] : [name]));
  return [
    table([
      ['router', ...head],
      ...withControl(runs.variants).map((variant) => [
        labelOf(variant),
        ...(isRun(variant) ? cells(variant) : head.map((_, i) => (i === 0 ? 'no run' : ''))),
      ]),
    ]),
    `Medians of the seeds, in brackets the least and the greatest. An expert counts as used from ${percent(USED_SHARE)} of an even share of its layer's tokens; the layer that uses fewest counts. Use, capacity and cosine are those of the last quarter of the training, the rest of all counted steps. All-to-all is its share of a step, waiting included.`,
  ].join('\n\n');
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

function costSection(rows: readonly CostRow[]): string {
  return [
    'Microseconds for the scores of 1,000 tokens on one thread, in brackets the 10th and the 90th percentile of single calls. The dense gate takes O(d n) a token, grouped means (GrAP) and cosine affinities O(d).',
    table(costCells(rows)),
  ].join('\n\n');
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
