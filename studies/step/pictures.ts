import type { Spread } from '../../packages/bench/src/statistics.js';
import {
  type PartMs,
  PROGRAM_LABELS,
  PROGRAMS,
  type Program,
} from '../../packages/bench/src/step/step-run.js';
import { type ChartBody, COLOURS, type Picture, picture } from '../kit/picture.js';
import { HEADLINE_LAYOUT, isHeadline, MODELS, numRanks, SWEEPS, type Sweep } from './cells.js';
import { type CellFigures, labelOfPart, PARTS, type ProgramFigures, programsIn } from './figures.js';

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

export function ranksChart(all: readonly CellFigures[]): Picture | null {
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

export function partsChart(cells: readonly CellFigures[]): Picture | null {
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

export function sizesChart(all: readonly CellFigures[]): Picture | null {
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
