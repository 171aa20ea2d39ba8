import type { StepComposition } from '../../packages/bench/src/routers/run-figures.js';
import { median } from '../../packages/bench/src/statistics.js';
import { type ChartBody, type Picture, picture, type Rows } from '../kit/picture.js';
import { cellLabel, routerAxis, routerColour } from './chart-style.js';
import type { Comparison } from './comparison.js';
import type { Cell } from './jobs.js';
import { labelOf, VARIANT_IDS, type VariantId } from './variants.js';

const COMPOSITION_LABELS: Readonly<Record<keyof StepComposition, string>> = {
  computation: 'computation',
  communication: 'communication (copying)',
  waitingInAllToAll: 'waiting in all-to-all',
  waitingElsewhere: 'waiting elsewhere',
  other: 'other',
};
const PANEL_SIZE = { width: 300, height: { step: 24 } };

/** Panels of horizontal bars or points, one per cell. */
function panels(layer: readonly ChartBody[], encoding: ChartBody): ChartBody {
  return {
    facet: { field: 'cell', type: 'nominal', sort: null },
    columns: 2,
    resolve: { axis: { y: 'independent' } },
    spec: { ...PANEL_SIZE, encoding: { y: routerAxis(), ...encoding }, layer },
  };
}

function rowsByCell(
  comparison: Comparison,
  rowOf: (cell: Cell, variant: VariantId) => Readonly<Record<string, unknown>>,
): Rows {
  return comparison.cells.flatMap((cell) =>
    comparison.in(cell).variants.map((variant) => ({
      cell: cellLabel(cell),
      router: labelOf(variant),
      ...rowOf(cell, variant),
    })),
  );
}

export function stepTimeChart(comparison: Comparison): Picture | null {
  const rows = rowsByCell(comparison, (cell, variant) => ({
    ...comparison.in(cell).spread(variant, ({ figures }) => figures.stepMs.median),
  }));
  // Room for the value labels.
  const domain = [0, 1.15 * Math.max(...rows.map(({ most }) => Number(most)))];
  const x = { type: 'quantitative', title: 'step time (ms)', scale: { domain, nice: false } };
  return picture(
    'step-time',
    'Step time by router',
    [
      "Median over a run's steps after warm-up, of the slowest rank; bar: median of the seeds, line: least to most.",
    ],
    rows,
    panels(
      [
        { mark: { type: 'bar', opacity: 0.75 }, encoding: { x: { field: 'median', ...x } } },
        {
          mark: { type: 'rule', strokeWidth: 2, color: '#333333' },
          encoding: { x: { field: 'least', ...x }, x2: { field: 'most' }, color: { value: '#333333' } },
        },
        {
          mark: { type: 'text', align: 'left', dx: 6, fontSize: 11 },
          encoding: {
            x: { field: 'most', ...x },
            text: { field: 'median', format: '.0f' },
            color: { value: '#222222' },
          },
        },
      ],
      { color: routerColour(VARIANT_IDS, false) },
    ),
  );
}

export function compositionChart(comparison: Comparison): Picture | null {
  const parts = Object.keys(COMPOSITION_LABELS) as (keyof StepComposition)[];
  const rows = comparison.cells.flatMap((cell) =>
    comparison.in(cell).variants.flatMap((variant) =>
      parts.map((part, order) => ({
        cell: cellLabel(cell),
        router: labelOf(variant),
        part: COMPOSITION_LABELS[part],
        order,
        ms: median(
          comparison
            .in(cell)
            .of(variant)
            .map(({ figures }) => figures.composition[part]),
        ),
      })),
    ),
  );
  return picture(
    'step-composition',
    'What a step is made of',
    [
      'Mean over ranks and usual steps, median of the seeds. Only the all-reduce of gradients overlaps with computing: in any other collective a worker blocks.',
      'Waiting is idle time: for the link, for a slower rank, or for one of the two cores.',
    ],
    rows,
    panels([{ mark: 'bar' }], {
      x: { field: 'ms', type: 'quantitative', title: 'time of a step (ms)' },
      order: { field: 'order' },
      color: {
        field: 'part',
        type: 'nominal',
        title: null,
        scale: {
          domain: parts.map((part) => COMPOSITION_LABELS[part]),
          range: ['#0072b2', '#d55e00', '#e69f00', '#f0d58c', '#bbbbbb'],
        },
        legend: { orient: 'bottom', columns: 3, symbolType: 'square' },
      },
    }),
  );
}

export function localShareChart(comparison: Comparison): Picture | null {
  const rows = rowsByCell(comparison, (cell, variant) => ({
    ...comparison.in(cell).spread(variant, ({ figures }) => figures.localShare),
  }));
  const x = { type: 'quantitative', scale: { domain: [0, 1] }, axis: { format: '%' } };
  return picture(
    'local-share',
    'Tokens that stayed on their node',
    ['Share of the kept choices whose expert is on the node of the token; line: least to most of the seeds.'],
    rows,
    panels(
      [
        {
          mark: { type: 'bar', opacity: 0.75 },
          encoding: { x: { field: 'median', title: 'stayed on the node', ...x } },
        },
        {
          mark: { type: 'rule', strokeWidth: 2 },
          encoding: { x: { field: 'least', ...x }, x2: { field: 'most' }, color: { value: '#333333' } },
        },
      ],
      { color: routerColour(VARIANT_IDS, false) },
    ),
  );
}
