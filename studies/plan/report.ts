import { digits } from '../../packages/bench/src/collectives/words.js';
import type { LayoutCheck } from '../../packages/bench/src/plan/check.js';
import { formatLink } from '../../packages/bench/src/plan/link.js';
import { TIME_PARTS } from '../../packages/bench/src/plan/predict.js';
import type { MachineProfile } from '../../packages/bench/src/plan/profile.js';
import { COLOURS, type Picture, picture } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { percent, signedPercent, table } from '../kit/text.js';
import { colourOf } from '../routers/chart-style.js';
import {
  DEVICES,
  DEVICES_PER_NODE,
  type DeviceOptions,
  EXCHANGES,
  PAPER_DEVICES,
  PAYS,
  pointAt,
  ROUTING,
  SCALE_EXPERTS,
  SCALE_MODEL,
  SCALE_ROUTERS,
  type ScaleExperts,
  type ScalePoint,
  SEQUENCES_PER_DEVICE,
  scaleCurves,
  verdicts,
  WORTH,
} from './scale.js';

export interface Figures {
  /** Predicted over measured step time, minus one. */
  readonly stepTimeErrorByLayout: Readonly<Record<string, number>>;
  /** Description of the runs, with their number and length by layout. */
  readonly config: string;
  readonly steps: number;
  readonly rounds: number;
  readonly checks: readonly LayoutCheck[];
  readonly profile: MachineProfile;
  /** Device of the large clusters. */
  readonly device: DeviceOptions;
}

export function reportOf({ config, steps, rounds, checks, profile, device }: Figures): Report {
  const points = scaleCurves(device);
  return {
    view: {
      config,
      steps,
      runs: `${rounds} run${rounds === 1 ? '' : 's'}`,
      kept: checks[0]!.keptPerToken.toFixed(2),
      cores: profile.cores,
      checks: table([
        [
          ...['layout', 'predicted (ms)', 'measured (ms)', 'error'],
          ...['to other nodes, predicted (MB)', 'measured (MB)'],
        ],
        ...checks.map((row) => [
          row.layout,
          row.predictedMs.toFixed(1),
          `${row.measuredMs.toFixed(1)} (${row.leastMs.toFixed(1)} to ${row.mostMs.toFixed(1)})`,
          signedPercent(row.error),
          (row.predictedBytesOtherNode / 1e6).toFixed(2),
          (row.measuredBytesOtherNode / 1e6).toFixed(2),
        ]),
      ]),
      costs: table([['cost', 'value'], ...costRows(profile)]),
      ...SCALE_MODEL,
      tflops: (device.flopsPerS / 1e12).toPrecision(3),
      link: formatLink(device.link),
      devicesPerNode: DEVICES_PER_NODE,
      sequences: SEQUENCES_PER_DEVICE,
      routers: SCALE_ROUTERS.map((router) => ({ router, source: ROUTING[router].source })),
      scale: SCALE_EXPERTS.map((experts) => scaleTable(points, experts)).join('\n\n'),
      worth: percent(WORTH),
      pays: PAYS,
      verdicts: table(verdictRows(points)),
    },
    pictures: [checkChart(checks), routersChart(points, device), partsChart(points, device)].flatMap(
      (chart) => chart ?? [],
    ),
  };
}

function scaleTable(points: readonly ScalePoint[], experts: ScaleExperts): string {
  const columns = (devices: number) => [`${devices}: step (ms)`, 'all-to-all', 'flat (ms)'];
  return table([
    [experts, ...PAPER_DEVICES.flatMap(columns)],
    ...SCALE_ROUTERS.map((router) => [
      router,
      ...PAPER_DEVICES.flatMap((devices) => {
        const place = { router, devices, experts };
        const hierarchical = pointAt(points, { ...place, exchange: 'hierarchical' });
        const flat = pointAt(points, { ...place, exchange: 'flat' });
        return [hierarchical.stepMs.toFixed(1), percent(hierarchical.allToAllShare), flat.stepMs.toFixed(1)];
      }),
    ]),
  ]);
}

/** One column per number of experts. */
function verdictRows(points: readonly ScalePoint[]): string[][] {
  const columns = SCALE_EXPERTS.map((experts) => verdicts(points, experts));
  return [
    ['hierarchical exchange', ...SCALE_EXPERTS],
    ...columns[0]!.map(({ what }, row) => [what, ...columns.map((column) => column[row]!.answer)]),
  ];
}

function costRows({ compute, exchange, processBytes }: MachineProfile): string[][] {
  return [
    ['matrix products of a worker (GFLOP/s)', digits(compute.flopsPerS / 1e9)],
    ['element read or written (ns)', digits(compute.touchedNs)],
    ['operation (us)', digits(compute.operationUs)],
    ['gradient of a parameter, copied out (ns)', digits(compute.gradientNs)],
    ['parameter in the optimizer (ns)', digits(compute.parameterNs)],
    ['number added up (ns)', digits(compute.summedNs)],
    ...Object.entries(compute.routerTokenNs).map(([router, ns]) => [
      `token, router ${router} (ns)`,
      digits(ns),
    ]),
    ['candidate of an expert (ns)', digits(compute.candidateNs)],
    ...compute.slowdown.map(({ processesPerCore, factor }) => [
      `slowdown at ${digits(processesPerCore)} workers a core`,
      digits(factor),
    ]),
    ['collective step in a node (us)', digits(exchange.wakeUs)],
    ['collective step between nodes (us)', digits(exchange.hopUs)],
    ['message through a ring (us)', digits(exchange.messageUs)],
    ['byte through a ring (ns)', digits(exchange.byteNs)],
    ['frame of an agent (us)', digits(exchange.frameUs)],
    ['byte of an agent (ns)', digits(exchange.streamByteNs)],
    ['worker without its model (MB)', digits(processBytes / 1e6)],
  ];
}

const PANEL = { width: 320, height: 220 };
/** Grid: exchange forms in columns, numbers of experts in rows. */
const PANELS = {
  column: { field: 'exchange', type: 'nominal', sort: EXCHANGES.map((exchange) => `${exchange} exchange`) },
  row: { field: 'experts', type: 'nominal', sort: [...SCALE_EXPERTS] },
};
const PART_COLOURS = [
  ...[COLOURS.blue, COLOURS.sky, '#999999', COLOURS.yellow],
  ...[COLOURS.orange, COLOURS.green, COLOURS.vermilion, COLOURS.black],
];

function checkChart(checks: readonly LayoutCheck[]): Picture | null {
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
              scale: { domain: ['measured', 'predicted'], range: [COLOURS.blue, COLOURS.orange] },
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

function routersChart(points: readonly ScalePoint[], options: DeviceOptions): Picture | null {
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

function partsChart(points: readonly ScalePoint[], options: DeviceOptions): Picture | null {
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
