import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Chart } from '../picture.js';
import { renderSvg } from '../render-svg.js';
import { checkChart, partsChart, routersChart } from './charts.js';
import type { LayoutCheck } from './check.js';
import { formatLink } from './link.js';
import type { MachineProfile } from './profile.js';
import {
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

export interface ReportOptions {
  readonly checks: readonly LayoutCheck[];
  readonly profile: MachineProfile;
  readonly device: DeviceOptions;
  readonly config: string;
  readonly steps: number;
  readonly rounds: number;
  readonly machine: string;
  readonly command: string;
  readonly out: string;
}

/** The file `plan.json`: predicted over measured step time, minus one, by layout. */
export interface PlanHeadline {
  readonly stepTimeErrorByLayout: Readonly<Record<string, number>>;
  readonly machine: string;
  readonly command: string;
}

/**
 * Writes `plan.json`, `plan-calibration.json`, `plan.md` and the charts `plan-*.svg` into the folder `out`.
 */
export async function writePlanReport(options: ReportOptions): Promise<PlanHeadline> {
  const { checks, profile, device, out, machine, command } = options;
  const points = scaleCurves(device);
  const charts = [checkChart(checks), routersChart(points, device), partsChart(points, device)].flatMap(
    (chart) => chart ?? [],
  );
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `plan-${name}.svg`), await renderSvg(spec));
  const headline = {
    stepTimeErrorByLayout: Object.fromEntries(
      checks.map(({ layout, error }) => [layout, Number(error.toFixed(4))]),
    ),
    machine,
    command,
  };
  const write = (name: string, value: unknown) =>
    writeFileSync(path.join(out, name), `${JSON.stringify(value, null, 2)}\n`);
  write('plan.json', headline);
  write('plan-calibration.json', profile);
  writeFileSync(path.join(out, 'plan.md'), markdown(options, points, charts));
  return headline;
}

function markdown(options: ReportOptions, points: readonly ScalePoint[], charts: readonly Chart[]): string {
  const { checks, profile, config, steps, rounds, machine, command } = options;
  const [check, ...scale] = charts.map(
    ({ name, title, caption }) => `![${title}](plan-${name}.svg)\n\n*${title}.* ${caption}`,
  );
  return [
    '# The cost model against real runs, and past what can be run here',
    `The model and its limits are described in [planning.md](../planning.md).`,
    '## Predicted and measured on this machine',
    `Recipe \`${config}\`, ${rounds} run${rounds === 1 ? '' : 's'} of ${steps} steps of each layout, the median step after warm-up. The calibration saw steps of single workers, alone and in lockstep, and exchanges without training. Of the runs of this table a prediction knows the choices kept for a token (${checks[0]!.keptPerToken.toFixed(2)}, of 1x1; they are the same in every layout), and no time. All nodes are processes of one machine and share its ${profile.cores} cores.`,
    table([
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
        `${row.error >= 0 ? '+' : ''}${percent(row.error)}`,
        (row.predictedBytesOtherNode / 1e6).toFixed(2),
        (row.measuredBytesOtherNode / 1e6).toFixed(2),
      ]),
    ]),
    check,
    '## Costs of this machine',
    table([['cost', 'value'], ...costRows(profile)]),
    '## At the scale of the papers',
    assumptions(options.device),
    ...SCALE_EXPERTS.map((experts) => scaleTable(points, experts)),
    ...scale,
    '## Where each stops paying',
    `A router or the hierarchical exchange pays where it makes steps at least ${percent(WORTH)} faster; twice the devices pay where they give at least ${PAYS} times the tokens a second.`,
    table(verdictRows(points)),
    `Made by \`${command}\` on ${machine}.`,
  ]
    .join('\n\n')
    .concat('\n');
}

function scaleTable(points: readonly ScalePoint[], experts: ScaleExperts): string {
  const columns = (devices: number) => [`${devices}: step (ms)`, 'all-to-all', 'flat (ms)'];
  return table([
    [experts, ...PAPER_DEVICES.flatMap(columns)],
    ...SCALE_ROUTERS.map((router) => [
      router,
      ...PAPER_DEVICES.flatMap((devices) => {
        const [hierarchical, flat] = EXCHANGES.map((exchange) =>
          pointAt(points, { router, exchange, devices, experts }),
        );
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
  const digits = (value: number) => String(Number(value.toPrecision(3)));
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

function assumptions({ flopsPerS, link }: DeviceOptions): string {
  const { dModel, dFeedForward, numDenseLayers, numSparseLayers, seqLen, vocabSize } = SCALE_MODEL;
  return [
    '**Everything in this section is assumed, nothing measured.** The program of this repository on devices it does not run on:',
    `${(flopsPerS / 1e12).toPrecision(3)} TFLOP/s a device, memory at 1 TB/s, ${DEVICES_PER_NODE} devices to a node with 30 GB/s between them, one link of ${formatLink(link)} a node, 1 us for each message on it.`,
    `Model: d ${dModel}, feed-forward ${dFeedForward}, ${numDenseLayers} dense and ${numSparseLayers} sparse layers, vocabulary ${vocabSize}, ${SEQUENCES_PER_DEVICE} sequences of ${seqLen} tokens a device, float32. With more devices than experts, each block of as many devices as experts holds a copy of all of them and exchanges tokens within itself; with an expert for each device all exchange with all.`,
    ...SCALE_ROUTERS.map((router) => `- ${router}: ${ROUTING[router].source}.`),
  ].join('\n');
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function table(rows: readonly (readonly string[])[]): string {
  const [header, ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  const columns = rows[0]!.map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, `| ${columns.join(' | ')} |`, ...body].join('\n');
}
