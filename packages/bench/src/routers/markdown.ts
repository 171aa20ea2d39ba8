import { keptReasons, percent, signedPercent, table, withSpread } from '../markdown.js';
import type { Chart } from '../picture.js';
import type { Calibration, InterNodeLink } from './calibration.js';
import { cellLabel } from './chart-style.js';
import type { Comparison } from './comparison.js';
import { type CostRow, costCells } from './cost.js';
import { type Headline, headlineSpreads } from './headline.js';
import { BASELINE, type Cell, HEADLINE_CELL, perplexityNotes, VARIANTS, type VariantId } from './jobs.js';
import { PAPER_FIGURES, type PaperFigure } from './papers.js';
import { type RunFigures, USED_SHARE, WARM_UP_STEPS } from './run-figures.js';

export interface Report {
  readonly comparison: Comparison;
  readonly headline: Headline;
  readonly calibration: Calibration;
  readonly cost: readonly CostRow[];
  readonly charts: readonly Chart[];
  readonly numExperts: number;
  /** Number of runs of the complete comparison. */
  readonly numPlanned: number;
}

/** The report as Markdown. `previous` is the text of the report to replace; empty for none. */
export function reportMarkdown(report: Report, previous: string): string {
  const { comparison, headline, charts } = report;
  return [
    '# Routers compared',
    introduction(report),
    "## The papers' figures and ours",
    `From ${cellLabel(HEADLINE_CELL)}. Changes are medians over seeds of runs with the same seed, in brackets the least and the greatest.`,
    paperTable(report),
    '## What falls short, and why',
    shortfalls(report),
    keptReasons(previous),
    ...comparison.cells.flatMap((cell) => [`## ${cellLabel(cell)}`, cellTable(comparison, cell)]),
    '## What looking at later tokens is worth',
    ruleSection(comparison),
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

function introduction({ comparison, headline, numPlanned }: Report): string {
  const { steps, tokensPerStep } = comparison.results[0].figures;
  const missing = numPlanned - comparison.results.length;
  return [
    `Each router trained ${steps} steps of ${tokensPerStep} tokens from the same starting weights on the same data, seeds ${headline.seeds.join(', ')},`,
    'on an emulated cluster of this machine; runs of different routers take turns. The recipe is `configs/routers.yaml`.',
    `Step time is the median over the steps after the first ${WARM_UP_STEPS}, of the slowest rank. Perplexity is that of the validation text`,
    'after the last step, where no router may look at later tokens.',
    ...(missing > 0 ? [`**${missing} of ${numPlanned} runs are still missing.**`] : []),
  ].join('\n');
}

function paperTable({ comparison, numExperts }: Report): string {
  const spreads = headlineSpreads(comparison);
  return table([
    ['', 'papers', 'here', 'reached'],
    ...PAPER_FIGURES.map((figure) => {
      const spread = spreads[figure.key];
      return [
        figure.what,
        figure.paper,
        spread === null ? 'no run' : withSpread(spread, formatterOf(figure, numExperts)),
        spread === null ? '' : figure.reached(spread.median, numExperts) ? 'yes' : 'no',
      ];
    }),
  ]);
}

function formatterOf({ kind }: PaperFigure, numExperts: number): (value: number) => string {
  if (kind === 'change') return signedPercent;
  return kind === 'share' ? percent : (value) => `${value} of ${numExperts}`;
}

function shortfalls({ comparison, numExperts }: Report): string {
  const spreads = headlineSpreads(comparison);
  const missed = PAPER_FIGURES.flatMap((figure) => {
    const spread = spreads[figure.key];
    if (spread === null || figure.reached(spread.median, numExperts)) return [];
    return [`- ${figure.what}: ${formatterOf(figure, numExperts)(spread.median)}; papers: ${figure.paper}`];
  });
  return missed.length > 0 ? missed.join('\n') : "Every figure that was measured reaches the papers' best.";
}

/** Table columns of a cell: a figure of its runs, with the change against the baseline where relevant. */
const COLUMNS: readonly {
  readonly name: string;
  readonly of: (figures: RunFigures) => number | null;
  readonly format: (value: number) => string;
  readonly compared?: boolean;
}[] = [
  { name: 'step (ms)', of: ({ stepMs }) => stepMs.median, format: (ms) => ms.toFixed(0), compared: true },
  { name: 'all-to-all', of: (figures) => figures.allToAllShare, format: percent },
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
  {
    name: 'perplexity',
    of: (figures) => figures.perplexity,
    format: (value) => value.toFixed(1),
    compared: true,
  },
];

function cellTable(comparison: Comparison, cell: Cell): string {
  const variants = comparison.variantsIn(cell);
  const cells = (variant: VariantId) =>
    COLUMNS.flatMap(({ of, format, compared }) => {
      const spread = comparison.spread(cell, variant, of);
      const change = comparison.ratio(cell, variant, BASELINE, of);
      return [
        spread === null ? '' : withSpread(spread, format),
        ...(compared ? [variant === BASELINE || change === null ? '' : signedPercent(change.median)] : []),
      ];
    });
  return [
    table([
      ['router', ...COLUMNS.flatMap(({ name, compared }) => (compared ? [name, 'vs switch'] : [name]))],
      ...variants.map((variant) => [VARIANTS[variant].label, ...cells(variant)]),
    ]),
    `An expert counts as used from ${percent(USED_SHARE)} of an even share of its layer's tokens; the layer that uses fewest counts. Use, capacity and cosine are those of the last quarter of the training, the rest of all counted steps. All-to-all is its share of a step, waiting included.`,
    ...perplexityNotes(variants).map((note) => `${note} Compare its loss by the rule of training, below.`),
  ].join('\n\n');
}

/**
 * Section on the loss under the batch rule of training, which ranks or drops tokens over the whole batch, and
 * under the causal rule.
 */
function ruleSection({ results }: Comparison): string {
  const probed = results.filter(({ probe }) => probe !== null);
  return [
    'Cross-entropy of the last checkpoint on one batch of validation text, in nats per token: by the causal rule, by which all perplexities here are taken, and by the rule of training, which drops tokens by what else is in the batch.',
    table([
      ['router', 'causal', 'batch', 'gap'],
      ...probed.map(({ variant, probe }) => {
        const { causal, batch } = probe?.lossByRule ?? { causal: Number.NaN, batch: Number.NaN };
        const gap = batch - causal;
        return [
          VARIANTS[variant].label,
          causal.toFixed(3),
          batch.toFixed(3),
          `${gap >= 0 ? '+' : ''}${gap.toFixed(3)}`,
        ];
      }),
    ]),
  ].join('\n\n');
}

function linkSection({ link, share, trials }: Calibration): string {
  if (share === null) return `The link was given: ${linkLabel(link)}.`;
  return [
    `The link is set by short runs of the switch baseline so that all-to-all takes nearly as much of its step as on the paper's 256 NPUs, 28.7 % (18.1 % on 128); chosen: **${linkLabel(link)}**, where a short run reached ${percent(share)}.`,
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
