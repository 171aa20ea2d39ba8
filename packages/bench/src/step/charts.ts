import { type Chart, type ChartBody, picture } from '../picture.js';
import { median } from '../statistics.js';
import { stepMsOf } from './figures.js';
import {
  type Cell,
  type CellSizes,
  HEADLINE_LAYOUT,
  MODELS,
  numRanks,
  SWEEPS,
  type Sweep,
} from './models.js';
import { PROGRAM_LABELS } from './program-labels.js';
import type { Results } from './results.js';
import { type PartMs, PROGRAMS, type Program } from './step-run.js';
import { isHeadline } from './turns.js';

/** Colour-blind safe palette (Okabe and Ito). */
const COLOURS: Readonly<Record<Program, string>> = {
  own: '#0072b2',
  'own-bfloat16': '#56b4e9',
  peer: '#e69f00',
  'peer-bfloat16': '#f0e442',
  'peer-compiled': '#cc79a7',
  'locmoe-plus': '#d55e00',
};
const PART_COLOURS: Readonly<Record<keyof PartMs, string>> = {
  forward: '#56b4e9',
  backward: '#0072b2',
  exchange: '#d55e00',
  allReduce: '#cc79a7',
  optimizer: '#009e73',
  waiting: '#f0d58c',
  other: '#bbbbbb',
};
const SWEEP_TITLES: Readonly<Record<Sweep, string>> = {
  width: 'hidden size d',
  experts: 'experts',
  sequence: 'tokens of a sequence',
  batch: 'sequences a rank',
};

/** The charts that have data. */
export function drawCharts(results: Results, sizesOf: (cell: Cell) => CellSizes): Chart[] {
  const charts = [ranksChart(results), partsChart(results), sizesChart(results, sizesOf)];
  return charts.flatMap((chart) => chart ?? []);
}

function programColour(shown: readonly Program[]): ChartBody {
  return {
    field: 'program',
    type: 'nominal',
    title: null,
    scale: {
      domain: shown.map((program) => PROGRAM_LABELS[program]),
      range: shown.map((program) => COLOURS[program]),
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

function ranksChart(results: Results): Chart | null {
  const cells = results.cells.filter(({ sweep }) => sweep === null);
  if (new Set(cells.map(({ layout }) => layout)).size < 2) return null;
  const rows = cells.flatMap((cell) =>
    (['own', 'peer'] as const).flatMap((program) => {
      const ranks = numRanks(cell.layout);
      const spread = results.spread(cell, program, ({ tokensPerS }) => tokensPerS / ranks);
      return spread === null
        ? []
        : [{ model: cell.model, ranks, program: PROGRAM_LABELS[program], ...spread }];
    }),
  );
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

function partsChart(results: Results): Chart | null {
  const parts = Object.keys(PART_COLOURS) as (keyof PartMs)[];
  const rows = results.cells.filter(isHeadline).flatMap((cell) =>
    PROGRAMS.flatMap((program) => {
      const runs = results.turnsOf(cell).flatMap((turn) => turn.runs[program] ?? []);
      if (runs.length === 0) return [];
      return parts.map((part, order) => ({
        model: cell.model,
        program: PROGRAM_LABELS[program],
        part: part === 'allReduce' ? 'all-reduce' : part,
        order,
        ms: median(runs.map(({ partsMs }) => partsMs[part])),
      }));
    }),
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
              domain: parts.map((part) => (part === 'allReduce' ? 'all-reduce' : part)),
              range: parts.map((part) => PART_COLOURS[part]),
            },
            legend: { symbolType: 'square' },
          },
        },
      },
    },
  );
}

function sizesChart(results: Results, sizesOf: (cell: Cell) => CellSizes): Chart | null {
  const onHeadlineLayout = results.cells.filter(({ layout }) => layout === HEADLINE_LAYOUT);
  if (!onHeadlineLayout.some(({ sweep }) => sweep !== null)) return null;
  const rows = SWEEPS.flatMap((of) =>
    onHeadlineLayout
      // The small model is a point of every sweep, the medium one of the width sweep.
      .filter(({ model, sweep }) => (sweep === null ? model === 'small' || of === 'width' : sweep.of === of))
      .flatMap((cell) =>
        (['own', 'peer'] as const).flatMap((program) => {
          const spread = results.spread(cell, program, stepMsOf);
          return spread === null
            ? []
            : [
                {
                  size: SWEEP_TITLES[of],
                  value: sizesOf(cell)[of],
                  program: PROGRAM_LABELS[program],
                  ...spread,
                },
              ];
        }),
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
