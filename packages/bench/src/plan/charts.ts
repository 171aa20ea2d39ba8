import { type Chart, picture } from '../picture.js';
import { colourOf } from '../routers/chart-style.js';
import type { LayoutCheck } from './check.js';
import { formatLink } from './link.js';
import { TIME_PARTS } from './predict.js';
import {
  DEVICES,
  DEVICES_PER_NODE,
  type DeviceOptions,
  EXCHANGES,
  SCALE_EXPERTS,
  SCALE_ROUTERS,
  type ScalePoint,
} from './scale.js';

const PANEL = { width: 320, height: 220 };
/** Grid: exchange forms in columns, numbers of experts in rows. */
const PANELS = {
  column: { field: 'exchange', type: 'nominal', sort: EXCHANGES.map((exchange) => `${exchange} exchange`) },
  row: { field: 'experts', type: 'nominal', sort: [...SCALE_EXPERTS] },
};
/** Colour-blind safe palette (Okabe and Ito). */
const PART_COLOURS = ['#0072b2', '#56b4e9', '#999999', '#f0e442', '#e69f00', '#009e73', '#d55e00', '#000000'];

export function checkChart(checks: readonly LayoutCheck[]): Chart | null {
  const rows = checks.flatMap(({ layout, predictedMs, measuredMs, leastMs, mostMs }) => [
    { layout, what: 'measured', ms: measuredMs, least: leastMs, most: mostMs },
    { layout, what: 'predicted', ms: predictedMs, least: predictedMs, most: predictedMs },
  ]);
  const x = {
    field: 'layout',
    type: 'nominal',
    title: 'nodes x workers, all on this machine',
    axis: { labelAngle: 0 },
  };
  const xOffset = { field: 'what', type: 'nominal' };
  return picture(
    'check',
    'Step time, predicted and measured',
    ['Bars: median of the runs of each layout; lines: what the runs span.'],
    rows,
    {
      width: 420,
      height: 260,
      layer: [
        {
          mark: 'bar',
          encoding: {
            x,
            xOffset,
            y: { field: 'ms', type: 'quantitative', title: 'step (ms)' },
            color: {
              field: 'what',
              type: 'nominal',
              title: null,
              scale: { domain: ['measured', 'predicted'], range: ['#0072b2', '#e69f00'] },
              legend: { symbolType: 'square' },
            },
          },
        },
        {
          mark: { type: 'rule', strokeWidth: 1.5 },
          encoding: { x, xOffset, y: { field: 'least', type: 'quantitative' }, y2: { field: 'most' } },
        },
      ],
    },
  );
}

function devicesAxis(): Record<string, unknown> {
  return {
    field: 'devices',
    type: 'quantitative',
    title: `devices, ${DEVICES_PER_NODE} to a node (log scale)`,
    scale: { type: 'log', base: 2, domain: [DEVICES[0], DEVICES[DEVICES.length - 1]], nice: false },
    axis: { values: [...DEVICES], labelOverlap: false, labelAngle: -45 },
  };
}

/** Caveat shown on every chart of the papers' scale. */
function caption({ flopsPerS, link }: DeviceOptions): string {
  return `Assumed, not measured: ${(flopsPerS / 1e12).toPrecision(3)} TFLOP/s a device, ${formatLink(link)} a node; the work of a device stays the same.`;
}

export function routersChart(points: readonly ScalePoint[], options: DeviceOptions): Chart | null {
  const rows = points.map(({ devices, router, exchange, experts, plan }) => ({
    devices,
    experts,
    router,
    exchange: `${exchange} exchange`,
    tokens: plan.tokensPerS / devices,
  }));
  return picture('scale-routers', 'Speed of a device in ever larger clusters', [caption(options)], rows, {
    facet: PANELS,
    spec: {
      ...PANEL,
      mark: { type: 'line', strokeWidth: 2, point: true },
      encoding: {
        x: devicesAxis(),
        y: {
          field: 'tokens',
          type: 'quantitative',
          title: 'tokens a second and device',
          scale: { zero: false },
        },
        color: {
          field: 'router',
          type: 'nominal',
          title: 'router',
          scale: { domain: [...SCALE_ROUTERS], range: SCALE_ROUTERS.map(colourOf) },
        },
      },
    },
  });
}

export function partsChart(points: readonly ScalePoint[], options: DeviceOptions): Chart | null {
  const rows = points
    .filter(({ router }) => router === 'switch')
    .flatMap(({ devices, exchange, experts, plan }) =>
      TIME_PARTS.map((part, order) => ({
        devices,
        experts,
        exchange: `${exchange} exchange`,
        part,
        order,
        ms: plan.partsMs[part],
      })),
    );
  return picture('scale-parts', 'Where the time of a step goes, switch router', [caption(options)], rows, {
    facet: PANELS,
    spec: {
      ...PANEL,
      mark: 'bar',
      encoding: {
        x: { field: 'devices', type: 'ordinal', title: `devices, ${DEVICES_PER_NODE} to a node` },
        y: { field: 'ms', type: 'quantitative', title: 'step (ms)' },
        order: { field: 'order', type: 'quantitative' },
        color: {
          field: 'part',
          type: 'nominal',
          title: 'part of the step',
          scale: { domain: [...TIME_PARTS], range: PART_COLOURS },
          legend: { symbolType: 'square' },
        },
      },
    },
  });
}
