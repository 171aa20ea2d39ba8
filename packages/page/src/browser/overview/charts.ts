import type { Columns } from '../../api-types.js';
import {
  axisNumbers,
  formatBytes,
  formatCount,
  formatDurationMs,
  formatElapsed,
  formatShare,
} from '../format.js';
import { cssColor, seriesColor } from '../theme.js';
import { STEPS_MS } from '../ticks.js';
import { Chart, type ChartOptions } from './chart.js';
import type { ChartSeries, Values } from './chart-data.js';
import type { RunData } from './run-data.js';
import { STEP_AXIS, type XAxis } from './x-axis.js';

/** Data of the charts. The first run is the selected one; the others overlay it. */
export interface ChartsInput {
  readonly runs: readonly RunData[];
  readonly axis: 'step' | 'time';
  readonly layer: string;
}

type Handlers = Pick<ChartOptions, 'onRange' | 'onCursor' | 'onClick'>;

interface DrawnChart {
  readonly chart: Chart;
  readonly isWide: boolean;
  readonly seriesOf: (input: ChartsInput) => ChartSeries[];
  readonly emptyText: string;
}

const PART_NAMES: Readonly<Record<string, string>> = { allReduce: 'all-reduce' };
const NO_STEPS = 'No step yet.';
const shareTicks = (values: readonly number[]) =>
  axisNumbers(
    values.map((value) => 100 * value),
    ' %',
  );
const byteTicks = (values: readonly number[]) =>
  axisNumbers(
    values.map((value) => value / 1e6),
    ' MB',
  );
const msTicks = (values: readonly number[]) => {
  const isLong = Math.max(...values) >= 2_000;
  return axisNumbers(
    values.map((value) => (isLong ? value / 1e3 : value)),
    isLong ? ' s' : ' ms',
  );
};
const formatMs = (ms: number) =>
  ms >= 1_000 ? `${(ms / 1e3).toFixed(ms >= 1e4 ? 0 : 1)} s` : `${Math.round(ms)} ms`;

/** The overview's line charts, in page order. */
export function makeCharts(
  handlers: Handlers & { readonly onStepTime: Handlers['onClick'] },
  layerPicker: HTMLElement,
): DrawnChart[] {
  const chart = (
    options: Omit<ChartOptions, keyof Handlers> & Partial<Handlers>,
    seriesOf: DrawnChart['seriesOf'],
    { isWide = false, emptyText = NO_STEPS, tools = null as HTMLElement | null } = {},
  ): DrawnChart => ({ chart: new Chart({ ...handlers, ...options }, tools), isWide, seriesOf, emptyText });
  return [
    chart(
      { title: 'Loss', unit: 'nats per token', format: (value) => value.toFixed(3) },
      (input) => [...lossSeries(input), ...validationSeries(input)],
      { isWide: true },
    ),
    chart({ title: 'Gradient norm', format: formatCount }, (input) =>
      perRun(input, 'gradient', 'gradientNorm'),
    ),
    chart(
      {
        title: 'Step time by part',
        unit: 'mean of ranks',
        format: formatMs,
        ticks: msTicks,
        isStacked: true,
        startsAtZero: true,
        onClick: handlers.onStepTime,
      },
      partSeries,
      { isWide: true },
    ),
    chart({ title: 'Tokens per second', format: formatCount, startsAtZero: true }, (input) =>
      perRun(input, 'speed', 'tokensPerS'),
    ),
    chart(
      {
        title: 'Where tokens went',
        format: formatShare,
        ticks: shareTicks,
        isStacked: true,
        startsAtZero: true,
      },
      (input) =>
        columnsOf(input, 'routing', [
          ['otherNode', 'other node', 4],
          ['sameNode', 'same node', 1],
          ['sameWorker', 'same worker', 2],
        ]),
      { emptyText: 'No sparse layer.', tools: layerPicker },
    ),
    chart(
      {
        title: 'Dropped, and capacity',
        format: formatShare,
        ticks: shareTicks,
        formatRight: (value) => `${value.toFixed(2)}x`,
        startsAtZero: true,
      },
      capacitySeries,
      { emptyText: 'No sparse layer.' },
    ),
    chart(
      { title: 'Memory by rank', format: formatBytes, ticks: byteTicks, startsAtZero: true },
      memorySeries,
      {
        emptyText: 'No heartbeats recorded.',
      },
    ),
  ];
}

/** x values in seconds since the start of the run. */
const TIME_AXIS: XAxis = {
  steps: STEPS_MS.map((ms) => ms / 1e3),
  tick: (seconds) => formatElapsed(1e3 * seconds),
  place: (seconds) => `at ${formatDurationMs(1e3 * seconds)}`,
};

export function axisOf(axis: ChartsInput['axis']): XAxis {
  return axis === 'step' ? STEP_AXIS : TIME_AXIS;
}

/**
 * The x ranges of every second generation of a run, to tell it from its neighbours. By step a generation ends where
 * the next one went on: what it did beyond was done again.
 */
export function generationBands(run: RunData, axis: ChartsInput['axis']): (readonly [number, number])[] {
  const starts: number[] = [];
  for (const { time, resumedFrom } of run.metrics?.generations ?? []) {
    const start = axis === 'step' ? (resumedFrom ?? 0) : (time - run.startedAt) / 1e3;
    while (starts.length > 0 && (starts.at(-1) ?? 0) >= start) starts.pop();
    starts.push(start);
  }
  return starts
    .map((start, index) => [start, starts[index + 1] ?? Number.POSITIVE_INFINITY] as const)
    .filter((_, index) => index % 2 === 1);
}

function xOf(run: RunData, { step = [], time = [] }: Columns, axis: ChartsInput['axis']): Values {
  return axis === 'step' ? step : time.map((ms) => (ms === null ? null : (ms - run.startedAt) / 1e3));
}

function nameOf(run: RunData, { runs }: ChartsInput, what: string): string {
  return runs.length === 1 ? what : run.runId;
}

function perRun(input: ChartsInput, group: 'gradient' | 'speed', column: string): ChartSeries[] {
  return input.runs.map((run, index) => ({
    label: nameOf(run, input, ''),
    color: seriesColor(index),
    x: xOf(run, run.group(group), input.axis),
    y: run.group(group)[column] ?? [],
  }));
}

function lossSeries(input: ChartsInput): ChartSeries[] {
  return input.runs.map((run, index) => ({
    label: nameOf(run, input, 'training'),
    color: seriesColor(index),
    x: xOf(run, run.group('loss'), input.axis),
    y: run.group('loss').loss ?? [],
  }));
}

/** One run: a series for each domain. Several: the token-weighted mean of each, in the run's colour. */
function validationSeries(input: ChartsInput): ChartSeries[] {
  return input.runs.flatMap((run, runIndex) => {
    const points = run.metrics?.validations ?? [];
    if (points.length === 0) return [];
    const steps = points.map(({ step }) => step);
    const x =
      input.axis === 'step' ? steps : steps.map((step) => (run.clock.timeOf(step) - run.startedAt) / 1e3);
    const style = { x, dash: [4, 3], hasPoints: true, width: 1 };
    if (input.runs.length > 1) {
      const y = points.map(({ loss }) => loss);
      return [{ ...style, label: 'validation', color: seriesColor(runIndex), y, isQuiet: true }];
    }
    const names = [...new Set(points.flatMap(({ domains }) => domains.map(({ domain }) => domain)))];
    return names.map((name, index) => ({
      ...style,
      label: name,
      color: seriesColor(index + 1),
      y: points.map(({ domains }) => domains.find(({ domain }) => domain === name)?.loss ?? null),
    }));
  });
}

function partSeries(input: ChartsInput): ChartSeries[] {
  const parts = input.runs[0]?.metrics?.parts ?? [];
  const order: readonly (readonly [string, string, number])[] = parts
    .map((part, index) => [part, PART_NAMES[part] ?? part, part === 'waiting' ? 7 : index] as const)
    .toReversed();
  return columnsOf(input, 'speed', order);
}

function columnsOf(
  { runs, axis }: ChartsInput,
  group: 'speed' | 'routing',
  columns: readonly (readonly [name: string, label: string, color: number])[],
): ChartSeries[] {
  const [run] = runs;
  if (run === undefined) return [];
  const values = run.group(group);
  const x = xOf(run, values, axis);
  const hasAny = columns.some(([name]) => values[name]?.some((value) => value !== null));
  return columns.map(([name, label, color]) => ({
    label,
    color: seriesColor(color),
    x: hasAny ? x : [],
    y: hasAny ? (values[name] ?? []) : [],
  }));
}

function capacitySeries(input: ChartsInput): ChartSeries[] {
  const [over, not, ratio] = columnsOf(input, 'routing', [
    ['overCapacity', 'over capacity', 3],
    ['notChosen', 'not chosen', 5],
    ['capacityRatio', 'capacity', 0],
  ]);
  if (over === undefined) return [];
  const hasRatio = ratio.y.some((value) => value !== null);
  return [
    over,
    not,
    ...(hasRatio ? [{ ...ratio, isRight: true, dash: [2, 2], color: cssColor('--text-dim') }] : []),
  ];
}

function memorySeries({ runs: [run], axis }: ChartsInput): ChartSeries[] {
  if (run === undefined) return [];
  const memory = run.group('memory');
  const times = memory.time ?? [];
  const x = times.map((time) => {
    if (time === null) return null;
    return axis === 'step' ? run.clock.stepAt(time) : (time - run.startedAt) / 1e3;
  });
  return Object.keys(memory)
    .filter((name) => name.startsWith('rank.'))
    .map((name, index) => ({
      label: name.replace('rank.', 'r'),
      color: seriesColor(index),
      x,
      y: memory[name],
      ...(index >= 8 ? { dash: [4, 2] } : {}),
    }));
}
