import type { RunConfig } from 'locmoe/internal/config/schema';
import { formatCount } from 'locmoe/internal/format';
import { keptReasons, percent, table, withSpread } from '../markdown.js';
import type { Chart } from '../picture.js';
import type { Spread } from '../statistics.js';
import { communicationShare, optimizerShare, shareOfLimit, stepMsOf } from './figures.js';
import { type Cell, type CellSizes, cellId, HEADLINE_LAYOUT, MODELS, numRanks, SWEEPS } from './models.js';
import { PROGRAM_LABELS } from './program-labels.js';
import type { FigureOf, Results } from './results.js';
import { isPeer, type PartMs, PROGRAMS, type Program, type StepRun } from './step-run.js';
import { TORCH_SETTINGS, type TorchPeer } from './torch-peer.js';
import { isHeadline } from './turns.js';
import { TOLERANCE } from './verify.js';

export interface Report {
  readonly results: Results;
  readonly sgemmFlopsPerS: number;
  readonly peer: TorchPeer;
  /** Recipe or config file of the small model. */
  readonly recipe: string;
  readonly charts: readonly Chart[];
  /** Configuration of a cell, router `switch`. */
  readonly configOf: (cell: Cell) => RunConfig;
  readonly sizesOf: (cell: Cell) => CellSizes;
  readonly machine: string;
  readonly command: string;
}

/** The report as Markdown. `previous` is the text of the report to replace; empty for none. */
export function reportMarkdown(report: Report, previous: string): string {
  const { results, charts, command, machine } = report;
  const sweeps = results.cells.filter(({ sweep }) => sweep !== null);
  return [
    '# A training step, against PyTorch on the same machine',
    introduction(report),
    '## Both do the same',
    agreement(report),
    ...MODELS.flatMap((model) => {
      const cells = results.cells.filter((cell) => cell.model === model && cell.sweep === null);
      return cells.length === 0 ? [] : [`## The model ${model}`, modelSection(report, cells)];
    }),
    ...(sweeps.length === 0 ? [] : ['## One size at a time', sweepSection(report, sweeps)]),
    '## Why, and what falls short',
    keptReasons(previous),
    '## Pictures',
    ...charts.map(({ name, title, caption }) => `![${title}](step-${name}.svg)\n\n*${title}.* ${caption}`),
    '## How it was measured',
    method(report),
    `Made by \`${command}\` on ${machine}.`,
  ]
    .join('\n\n')
    .concat('\n');
}

function introduction({ peer, sgemmFlopsPerS }: Report): string {
  return [
    `The same training twice: by our trainer, and by a program of PyTorch ${peer.version} with Gloo ([bench/peers/step_torch](../../packages/bench/peers/step_torch)),`,
    'a pre-LN GPT with dense and Switch layers, top-1 with capacity, tied softmax, AdamW and clipping. They run in turns in one call;',
    'numbers are medians over turns, in brackets the least and the greatest, and held against the fastest of the ways to run PyTorch.',
    'Matrix products alone reach in float32',
    `**${(sgemmFlopsPerS / 1e9).toFixed(0)} GFLOP/s** on all cores of this machine; that is the limit a step is held against.`,
  ].join('\n');
}

function agreement({ results }: Report): string {
  return [
    `From the same starting weights on the same batches, the losses of both agree to ${TOLERANCE.float32} nats at every step of every turn, and in bfloat16 with PyTorch's in float32 to ${TOLERANCE.bfloat16}; otherwise there is no report.`,
    table([
      ['cell', 'turns', 'steps compared', 'greatest difference (nats)', 'in bfloat16'],
      ...results.cells.map((cell) => {
        const turns = results.turnsOf(cell);
        return [
          cellId(cell),
          String(turns.length),
          String(turns.reduce((sum, { steps }) => sum + steps, 0)),
          Math.max(...turns.map((turn) => turn.greatestDifference)).toExponential(1),
          cell.sweep === null
            ? Math.max(...turns.map((turn) => turn.greatestDifferenceBfloat16)).toExponential(1)
            : '',
        ];
      }),
    ]),
  ].join('\n\n');
}

function modelSection(report: Report, cells: readonly Cell[]): string {
  const { width, experts, sequence, batch } = report.sizesOf(cells[0]!);
  const headline = cells.find(isHeadline);
  return [
    `d = ${width}, ${experts} experts, sequences of ${sequence} tokens, ${batch} a rank.`,
    speedTable(report, cells),
    ...(headline === undefined
      ? []
      : [
          `Where a step of ${HEADLINE_LAYOUT} goes, in ms, mean over ranks. Garbage collection lies inside the other parts. Gloo does not tell waiting from moving bytes: its waiting is in the exchange and the all-reduce.`,
          partsTable(report, headline),
        ]),
  ].join('\n\n');
}

function programsIn({ results }: Report, cell: Cell): Program[] {
  return PROGRAMS.filter((program) => results.spread(cell, program, stepMsOf) !== null);
}

function speedTable(report: Report, cells: readonly Cell[]): string {
  const { results } = report;
  return table([
    [
      'nodes x workers',
      'program',
      'tokens/s',
      'of PyTorch',
      'step (ms)',
      'choices kept',
      'share of the limit',
      'peak memory (MB)',
      'of PyTorch',
    ],
    ...cells.flatMap((cell) =>
      programsIn(report, cell).map((program) => {
        const figure = (of: FigureOf, format: (value: number) => string) =>
          cellText(results.spread(cell, program, of), format);
        const versus = (of: FigureOf) =>
          isPeer(program) ? '' : cellText(results.ratio(cell, program, results.fastestPeer(cell), of), times);
        return [
          cell.layout,
          PROGRAM_LABELS[program],
          figure(({ tokensPerS }) => tokensPerS, formatCount),
          versus(({ tokensPerS }) => tokensPerS),
          figure(stepMsOf, milliseconds),
          keptText(results, cell, program),
          shareText(report, cell, program),
          figure(({ peakBytes }) => peakBytes / 1e6, milliseconds),
          versus(({ peakBytes }) => peakBytes),
        ];
      }),
    ),
  ]);
}

/** Experts per token kept by a sparse layer, as the program reports; the peer's equal ours. */
function keptText(results: Results, cell: Cell, program: Program): string {
  const kept = results.spread(cell, isPeer(program) ? 'own' : program, (run) => run.keptPerToken ?? 1);
  return cellText(kept, (choices) => choices.toFixed(2));
}

/** The peer keeps the same tokens as ours; none for locmoe-plus, which sends a token to any number of experts. */
function shareText({ results, configOf, sgemmFlopsPerS }: Report, cell: Cell, program: Program): string {
  if (program === 'locmoe-plus') return '';
  const kept = results.spread(cell, 'own', ({ keptPerToken }) => keptPerToken ?? 1);
  const share = (run: StepRun) =>
    shareOfLimit({ ...run, keptPerToken: kept?.median ?? 1 }, configOf(cell), sgemmFlopsPerS);
  return cellText(results.spread(cell, program, share), percent);
}

const PART_LABELS: Readonly<Record<keyof PartMs, string>> = {
  forward: 'forward',
  backward: 'backward',
  exchange: 'exchange',
  allReduce: 'all-reduce',
  optimizer: 'optimizer',
  waiting: 'waiting',
  other: 'other',
};

function partsTable(report: Report, cell: Cell): string {
  const { results } = report;
  const parts = Object.keys(PART_LABELS) as (keyof PartMs)[];
  return table([
    [
      'program',
      ...parts.map((part) => PART_LABELS[part]),
      'garbage collection',
      'share of the optimizer',
      'share of communication',
    ],
    ...programsIn(report, cell).map((program) => {
      const figure = (of: FigureOf, format: (value: number) => string) =>
        cellText(results.spread(cell, program, of), format);
      return [
        PROGRAM_LABELS[program],
        ...parts.map((part) =>
          isPeer(program) && part === 'waiting' ? '' : figure(({ partsMs }) => partsMs[part], milliseconds),
        ),
        isPeer(program)
          ? ''
          : figure(
              ({ gcMs }) => gcMs ?? 0,
              (ms) => ms.toFixed(1),
            ),
        figure(optimizerShare, percent),
        figure(communicationShare, percent),
      ];
    }),
  ]);
}

function sweepSection({ results, sizesOf }: Report, cells: readonly Cell[]): string {
  return [
    `The small model on ${HEADLINE_LAYOUT} with one of its sizes changed; one turn each.`,
    table([
      ['what', 'is', 'locmoe, step (ms)', 'PyTorch, step (ms)', 'tokens/s of PyTorch'],
      ...SWEEPS.flatMap((of) =>
        cells
          .filter(({ sweep }) => sweep?.of === of)
          .map((cell) => [
            of,
            String(sizesOf(cell)[of]),
            cellText(results.spread(cell, 'own', stepMsOf), milliseconds),
            cellText(results.spread(cell, 'peer', stepMsOf), milliseconds),
            cellText(
              results.ratio(cell, 'own', 'peer', ({ tokensPerS }) => tokensPerS),
              times,
            ),
          ]),
      ),
    ]),
  ].join('\n\n');
}

function method({ results, peer, recipe }: Report): string {
  const ranks = Math.max(...results.cells.map(({ layout }) => numRanks(layout)));
  return [
    `- The small model is recipe \`${recipe}\` with router \`switch\`, without level 1 and without the query layer; medium has twice its width.`,
    '- A step lasts from its end to the end of the next by wall clock, so what lies between steps counts. The first steps of a run warm up, and the last one counts in no time.',
    `- PyTorch runs a process for each of up to ${ranks} ranks with ${Object.entries(TORCH_SETTINGS)
      .map(([name, value]) => `\`${name}=${value}\``)
      .join(
        ', ',
      )}, one flat buffer for the all-reduce, fused AdamW that clips on the way, fused attention, and denormal numbers flushed to zero (${peer.python}).`,
    '- Choices kept are the experts that a sparse layer kept for a token, mean over its tokens. Gates are untrained, so some experts are full while others have room. Tokens over capacity are dropped alike, and the same expert wins a tie. Both tell all ranks the counts of each expert before they exchange tokens.',
    "- Peak memory is the greatest sum of PSS over a program's processes among samples twice a second: pages that several share count once. Ours are the coordinator, the node agents and the workers.",
    '- Communication is the time inside collective calls: moving bytes, and waiting for other ranks or for one of the cores.',
    '- The share of the limit counts 6 FLOP for each parameter that a token is multiplied with: matrices, tied softmax, gate, and the experts that kept it.',
  ].join('\n');
}

function cellText(spread: Spread | null, format: (value: number) => string): string {
  return spread === null ? '' : withSpread(spread, format);
}

function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}
