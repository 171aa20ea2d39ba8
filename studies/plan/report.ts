import { digits } from '@locmoe/bench/internal/collectives/measurements';
import type { LayoutCheck } from '@locmoe/bench/internal/plan/bench';
import { formatLink } from '@locmoe/bench/internal/plan/link';
import { TIME_PARTS } from '@locmoe/bench/internal/plan/predict';
import type { MachineProfile } from '@locmoe/bench/internal/plan/profile';
import { type Picture, picturesOf } from '../kit/picture.js';
import type { Report } from '../kit/report.js';
import { percent, signedPercent, table } from '../kit/text.js';
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
          'layout',
          'predicted (ms)',
          'measured (ms)',
          'error',
          'to other nodes, predicted (MB)',
          'measured (MB)',
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
      ...costsOf(profile),
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
    pictures: [checkChart(checks), ...scaleCharts(points, device)],
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

function verdictRows(points: readonly ScalePoint[]): string[][] {
  const columns = SCALE_EXPERTS.map((experts) => verdicts(points, experts));
  return [
    ['hierarchical exchange', ...SCALE_EXPERTS],
    ...columns[0]!.map(({ what }, row) => [what, ...columns.map((column) => column[row]!.answer)]),
  ];
}

/** Returns the costs by name, with three digits. */
function costsOf({ compute, exchange, processBytes }: MachineProfile) {
  const { flopsPerS, routerTokenNs, slowdown, ...others } = compute;
  const costs = { ...others, ...exchange, gflopsPerS: flopsPerS / 1e9, processMB: processBytes / 1e6 };
  return {
    ...Object.fromEntries(Object.entries(costs).map(([name, cost]) => [name, digits(cost)])),
    routerTokens: Object.entries(routerTokenNs).map(([router, ns]) => ({ router, ns: digits(ns) })),
    slowdowns: slowdown.map(({ processesPerCore, factor }) => ({
      perCore: digits(processesPerCore),
      factor: digits(factor),
    })),
  };
}

const picture = picturesOf('plan');

function checkChart(checks: readonly LayoutCheck[]): Picture | null {
  return picture(
    'check',
    checks.flatMap(({ layout, predictedMs, measuredMs, leastMs, mostMs }) => [
      { layout, what: 'measured', ms: measuredMs, least: leastMs, most: mostMs },
      { layout, what: 'predicted', ms: predictedMs, least: predictedMs, most: predictedMs },
    ]),
  );
}

function scaleCharts(points: readonly ScalePoint[], { flopsPerS, link }: DeviceOptions): (Picture | null)[] {
  const perNode = `devices, ${DEVICES_PER_NODE} to a node`;
  const values = {
    exchanges: EXCHANGES.map((exchange) => `${exchange} exchange`),
    experts: SCALE_EXPERTS,
    devices: DEVICES,
    span: [DEVICES[0], DEVICES.at(-1)],
    perNode,
    perNodeLog: `${perNode} (log scale)`,
    routers: SCALE_ROUTERS,
    parts: TIME_PARTS,
  };
  const caption = { tflops: (flopsPerS / 1e12).toPrecision(3), link: formatLink(link) };
  const rows = points.map(({ devices, router, exchange, experts, plan }) => {
    const tokens = plan.tokensPerS / devices;
    return { plan, row: { devices, experts, router, exchange: `${exchange} exchange`, tokens } };
  });
  const parts = rows
    .filter(({ row }) => row.router === 'switch')
    .flatMap(({ plan, row: { devices, experts, exchange } }) =>
      TIME_PARTS.map((part, order) => ({ devices, experts, exchange, part, order, ms: plan.partsMs[part] })),
    );
  return [
    picture(
      'scale-routers',
      rows.map(({ row }) => row),
      values,
      caption,
    ),
    picture('scale-parts', parts, values, caption),
  ];
}
