import { formatCount } from 'locmoe/internal/format';
import { type Spread, withSpread } from '../../packages/bench/src/statistics.js';
import {
  isPeer,
  type PartMs,
  PROGRAM_LABELS,
  PROGRAMS,
  type Program,
} from '../../packages/bench/src/step/step-run.js';
import { TORCH_SETTINGS } from '../../packages/bench/src/step/torch-peer.js';
import { TOLERANCE } from '../../packages/bench/src/step/verify.js';
import { type ChartBody, COLOURS, type Picture, picture } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { percent, table } from '../kit/text.js';
import { cellId, HEADLINE_LAYOUT, isHeadline, MODELS, numRanks, SWEEPS, type Sweep } from './cells.js';
import type { CellFigures, Figures, ProgramFigures } from './figures.js';

export function reportOf(figures: Figures): Report {
  const { cells, peer, recipe, sgemmFlopsPerS } = figures;
  const sweeps = cells.filter(({ cell }) => cell.sweep !== null);
  return {
    view: {
      torch: peer.version,
      python: peer.python,
      recipe,
      gflops: (sgemmFlopsPerS / 1e9).toFixed(0),
      tolerance: TOLERANCE.float32,
      toleranceBfloat16: TOLERANCE.bfloat16,
      agreement: table([
        ['cell', 'turns', 'steps compared', 'greatest difference (nats)', 'in bfloat16'],
        ...cells.map(({ cell, turns, steps, ...greatest }) => [
          cellId(cell),
          String(turns),
          String(steps),
          greatest.greatestDifference.toExponential(1),
          cell.sweep === null ? greatest.greatestDifferenceBfloat16.toExponential(1) : '',
        ]),
      ]),
      models: MODELS.flatMap((model) => {
        const own = cells.filter(({ cell }) => cell.model === model && cell.sweep === null);
        const headline = own.find(({ cell }) => isHeadline(cell));
        const [first] = own;
        if (first === undefined) return [];
        const parts = headline === undefined ? null : { partsTable: partsTable(headline) };
        return [{ model, ...first.sizes, speed: speedTable(own), parts }];
      }),
      layout: HEADLINE_LAYOUT,
      sweeps: sweeps.length === 0 ? null : { sweepTable: sweepTable(sweeps) },
      ranks: Math.max(...cells.map(({ cell }) => numRanks(cell.layout))),
      settings: Object.entries(TORCH_SETTINGS)
        .map(([name, value]) => `\`${name}=${value}\``)
        .join(', '),
    },
    pictures: [ranksChart(cells), partsChart(cells), sizesChart(cells)].flatMap((chart) => chart ?? []),
  };
}

function programsIn({ programs }: CellFigures): [Program, ProgramFigures][] {
  return PROGRAMS.flatMap((program): [Program, ProgramFigures][] => {
    const figures = programs[program];
    return figures === undefined ? [] : [[program, figures]];
  });
}

function speedTable(cells: readonly CellFigures[]): string {
  return table([
    [
      ...['nodes x workers', 'program', 'tokens/s', 'of PyTorch', 'step (ms)', 'choices kept'],
      ...['share of the limit', 'peak memory (MB)', 'of PyTorch'],
    ],
    ...cells.flatMap((figures) =>
      programsIn(figures).map(([program, of]) => [
        figures.cell.layout,
        PROGRAM_LABELS[program],
        text(of.tokensPerS, formatCount),
        text(of.tokensPerSVsPeer, times),
        text(of.stepMs, milliseconds),
        text(of.keptPerToken, (choices) => choices.toFixed(2)),
        text(of.shareOfLimit, percent),
        text(of.peakBytes, (bytes) => milliseconds(bytes / 1e6)),
        text(of.peakVsPeer, times),
      ]),
    ),
  ]);
}

const PARTS = ['forward', 'backward', 'exchange', 'allReduce', 'optimizer', 'waiting', 'other'] as const;

function labelOfPart(part: keyof PartMs): string {
  return part === 'allReduce' ? 'all-reduce' : part;
}

function partsTable(figures: CellFigures): string {
  return table([
    [
      'program',
      ...PARTS.map(labelOfPart),
      ...['garbage collection', 'share of the optimizer', 'share of communication'],
    ],
    ...programsIn(figures).map(([program, of]) => [
      PROGRAM_LABELS[program],
      ...PARTS.map((part) =>
        isPeer(program) && part === 'waiting' ? '' : text(of.partsMs[part], milliseconds),
      ),
      text(of.gcMs, (ms) => ms.toFixed(1)),
      text(of.optimizerShare, percent),
      text(of.communicationShare, percent),
    ]),
  ]);
}

function sweepTable(cells: readonly CellFigures[]): string {
  return table([
    ['what', 'is', 'locmoe, step (ms)', 'PyTorch, step (ms)', 'tokens/s of PyTorch'],
    ...SWEEPS.flatMap((of) =>
      cells
        .filter(({ cell }) => cell.sweep?.of === of)
        .map(({ sizes, programs: { own, peer } }) => [
          of,
          String(sizes[of]),
          text(own?.stepMs, milliseconds),
          text(peer?.stepMs, milliseconds),
          text(own?.tokensPerSVsPeer, times),
        ]),
    ),
  ]);
}

function text(spread: Spread | null | undefined, format: (value: number) => string): string {
  return spread ? withSpread(spread, format) : '';
}

function milliseconds(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}

const PROGRAM_COLOURS: Readonly<Record<Program, string>> = {
  own: COLOURS.blue,
  'own-bfloat16': COLOURS.sky,
  peer: COLOURS.orange,
  'peer-bfloat16': COLOURS.yellow,
  'peer-compiled': COLOURS.purple,
  'locmoe-plus': COLOURS.vermilion,
};
const PART_COLOURS: Readonly<Record<keyof PartMs, string>> = {
  forward: COLOURS.sky,
  backward: COLOURS.blue,
  exchange: COLOURS.vermilion,
  allReduce: COLOURS.purple,
  optimizer: COLOURS.green,
  waiting: '#f0d58c',
  other: '#bbbbbb',
};
const SWEEP_TITLES: Readonly<Record<Sweep, string>> = {
  width: 'hidden size d',
  experts: 'experts',
  sequence: 'tokens of a sequence',
  batch: 'sequences a rank',
};

function programColour(shown: readonly Program[]): ChartBody {
  return {
    field: 'program',
    type: 'nominal',
    title: null,
    scale: {
      domain: shown.map((program) => PROGRAM_LABELS[program]),
      range: shown.map((program) => PROGRAM_COLOURS[program]),
    },
  };
}

/** A line through the medians, with the range as a rule. */
function lineWithSpread(y: ChartBody): ChartBody[] {
  return [
    { mark: { type: 'line', point: true, strokeWidth: 2 }, encoding: { y: { field: 'median', ...y } } },
    { mark: { type: 'rule' }, encoding: { y: { field: 'least', ...y }, y2: { field: 'most' } } },
  ];
}

/** A row for each of ours and the peer in float32. */
function rowsOf(
  { programs }: CellFigures,
  place: Readonly<Record<string, unknown>>,
  of: (figures: ProgramFigures) => Spread,
) {
  return (['own', 'peer'] as const).flatMap((program) => {
    const figures = programs[program];
    return figures === undefined ? [] : [{ ...place, program: PROGRAM_LABELS[program], ...of(figures) }];
  });
}

function ranksChart(all: readonly CellFigures[]): Picture | null {
  const cells = all.filter(({ cell }) => cell.sweep === null);
  if (new Set(cells.map(({ cell }) => cell.layout)).size < 2) return null;
  const rows = cells.flatMap((figures) => {
    const ranks = numRanks(figures.cell.layout);
    return rowsOf(
      figures,
      { model: figures.cell.model, ranks },
      ({ tokensPerS: { median, least, most } }) => ({
        median: median / ranks,
        least: least / ranks,
        most: most / ranks,
      }),
    );
  });
  return picture(
    'ranks',
    'Tokens a second of a rank',
    [
      'With as many sequences a rank. Ranks are processes of one machine: beyond its cores they share them. Point: median of the turns, line: least to greatest.',
    ],
    rows,
    {
      facet: { field: 'model', type: 'nominal', sort: [...MODELS] },
      resolve: { scale: { y: 'independent' } },
      spec: {
        width: 300,
        height: 240,
        encoding: {
          x: { field: 'ranks', type: 'ordinal', title: 'ranks', axis: { labelAngle: 0 } },
          color: programColour(['own', 'peer']),
        },
        layer: lineWithSpread({ type: 'quantitative', title: 'tokens/s a rank', scale: { zero: true } }),
      },
    },
  );
}

function partsChart(cells: readonly CellFigures[]): Picture | null {
  const rows = cells
    .filter(({ cell }) => isHeadline(cell))
    .flatMap((figures) =>
      programsIn(figures).flatMap(([program, { partsMs }]) =>
        PARTS.map((part, order) => ({
          model: figures.cell.model,
          program: PROGRAM_LABELS[program],
          part: labelOfPart(part),
          order,
          ms: partsMs[part].median,
        })),
      ),
    );
  return picture(
    'parts',
    'What a step is made of',
    [
      `On ${HEADLINE_LAYOUT}, median of the turns. What PyTorch waits for lies in its exchange and all-reduce.`,
    ],
    rows,
    {
      facet: { field: 'model', type: 'nominal', sort: [...MODELS] },
      columns: 1,
      resolve: { scale: { x: 'independent' } },
      spec: {
        width: 480,
        height: { step: 30 },
        mark: 'bar',
        encoding: {
          y: {
            field: 'program',
            type: 'nominal',
            title: null,
            sort: PROGRAMS.map((program) => PROGRAM_LABELS[program]),
          },
          x: { field: 'ms', type: 'quantitative', title: 'time of a step (ms)' },
          order: { field: 'order' },
          color: {
            field: 'part',
            type: 'nominal',
            title: null,
            scale: {
              domain: PARTS.map(labelOfPart),
              range: PARTS.map((part) => PART_COLOURS[part]),
            },
            legend: { symbolType: 'square' },
          },
        },
      },
    },
  );
}

function sizesChart(all: readonly CellFigures[]): Picture | null {
  const cells = all.filter(({ cell }) => cell.layout === HEADLINE_LAYOUT);
  if (!cells.some(({ cell }) => cell.sweep !== null)) return null;
  const rows = SWEEPS.flatMap((of) =>
    cells
      // The small model is a point of every sweep, the medium one of the width sweep.
      .filter(({ cell: { model, sweep } }) =>
        sweep === null ? model === 'small' || of === 'width' : sweep.of === of,
      )
      .flatMap((figures) =>
        rowsOf(figures, { size: SWEEP_TITLES[of], value: figures.sizes[of] }, ({ stepMs }) => stepMs),
      ),
  );
  return picture(
    'sizes',
    'Time of a step against each size',
    ['The small model with one size changed. Point: median of the turns, line: least to greatest.'],
    rows,
    {
      facet: { field: 'size', type: 'nominal', sort: SWEEPS.map((of) => SWEEP_TITLES[of]) },
      columns: 2,
      resolve: { scale: { x: 'independent', y: 'independent' } },
      spec: {
        width: 280,
        height: 200,
        encoding: {
          x: { field: 'value', type: 'ordinal', title: null, axis: { labelAngle: 0 } },
          color: programColour(['own', 'peer']),
        },
        layer: lineWithSpread({ type: 'quantitative', title: 'step (ms)', scale: { zero: true } }),
      },
    },
  );
}
