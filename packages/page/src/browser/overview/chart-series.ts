import type { Columns, MetricsGroup } from '../../api-types.js';
import type { PageState } from '../page-state.js';
import { cssColor, seriesColor } from '../theme.js';
import type { ChartSeries, Values } from './chart-data.js';
import type { RunData } from './run-data.js';
import { sparseStyle } from './smoothing.js';

/** Data of the charts. The first run is the selected one; the others overlay it, a line for each. */
export interface ChartsInput {
  readonly runs: readonly RunData[];
  readonly axis: PageState['axis'];
  readonly layer: string;
}

const PART_NAMES: Readonly<Record<string, string>> = { allReduce: 'all-reduce' };
/** Opacity of the training line, which must not hide validation's fewer points. */
const BEHIND = 0.55;

/** Returns the losses of training and of validation by domain or, with several runs, as the mean over the domains. */
export function lossSeries(input: ChartsInput): ChartSeries[] {
  const validation = validationSeries(input);
  const training = perRun(input, 'loss', 'loss', 'training');
  return [
    ...training.map((each) => (validation.length > 0 ? { ...each, alpha: BEHIND } : each)),
    ...validation,
  ];
}

/** Returns the parts of a step, stacked, and the longest of the averaged steps. */
export function partSeries(input: ChartsInput): ChartSeries[] {
  if (input.runs.length > 1) return perRun(input, 'speed', 'stepMs', '');
  const parts = input.runs[0]?.metrics?.parts ?? [];
  const layers = parts
    .map((part, index) => [part, PART_NAMES[part] ?? part, part === 'waiting' ? 7 : index] as const)
    .toReversed();
  const stack = stackOf(input, 'parts', layers);
  const [run] = input.runs;
  const { step = [], longestMs = [] } = run?.group('parts') ?? {};
  const isAveraged = step.some(
    (value, row) => value !== null && row > 0 && value - (step[row - 1] ?? value) > 1,
  );
  if (run === undefined || stack.length === 0 || !isAveraged) return stack;
  const longest = { x: stack[0]!.x, y: longestMs, width: 1, dash: [2, 2] };
  return [...stack, { ...longest, label: 'longest', color: cssColor('--text-dim') }];
}

/** Returns the destinations of tokens, stacked; for several runs, the share sent to another node. */
export function placeSeries(input: ChartsInput): ChartSeries[] {
  if (input.runs.length > 1) return perRun(input, 'places', 'otherNode', '');
  return stackOf(input, 'places', [
    ['otherNode', 'other node', 4],
    ['sameNode', 'same node', 1],
    ['sameWorker', 'same worker', 2],
  ]);
}

export function capacitySeries(input: ChartsInput): ChartSeries[] {
  if (input.runs.length > 1) return perRun(input, 'routing', 'dropped', '');
  const [over] = perRun(input, 'routing', 'overCapacity', 'over capacity');
  const [not] = perRun(input, 'routing', 'notChosen', 'not chosen');
  const [ratio] = perRun(input, 'routing', 'capacityRatio', 'capacity');
  if (over === undefined || not === undefined || ratio === undefined) return [];
  return [
    { ...over, color: seriesColor(3) },
    { ...not, color: seriesColor(5) },
    ...(ratio.y.length > 0
      ? [{ ...ratio, isRight: true, width: 1, dash: [2, 2], color: cssColor('--text-dim') }]
      : []),
  ];
}

/** Returns how strongly token id and gate each determine the experts; for several runs, the id alone. */
export function choiceSeries(input: ChartsInput): ChartSeries[] {
  if (input.runs.length > 1) return perRun(input, 'rates', 'idShare', '');
  const [id] = perRun(input, 'rates', 'idShare', 'as the last token with the id');
  const [gate] = perRun(input, 'rates', 'gateShare', 'first of the gate');
  const [entropy] = perRun(input, 'rates', 'gateEntropy', 'entropy');
  if (id === undefined || gate === undefined || entropy === undefined) return [];
  return [
    { ...id, color: seriesColor(3) },
    ...(gate.y.length > 0 ? [{ ...gate, color: seriesColor(0) }] : []),
    ...(entropy.y.length > 0
      ? [{ ...entropy, isRight: true, width: 1, dash: [2, 2], color: cssColor('--text-dim') }]
      : []),
  ];
}

/** Returns a line for each rank; for many ranks, minimum, median and maximum; for several runs, the maximum of each. */
export function memorySeries(input: ChartsInput): ChartSeries[] {
  if (input.runs.length > 1)
    return input.runs.map((run, index) => {
      const memory = run.group('memory');
      return { label: run.runId, color: seriesColor(index), x: memoryX(run, input.axis), y: mostOf(memory) };
    });
  const [run] = input.runs;
  if (run === undefined) return [];
  const memory = run.group('memory');
  const x = memoryX(run, input.axis);
  if (memory.most !== undefined) {
    const rank = memory.mostRank?.findLast((value) => value !== null);
    const all = [
      ['most', `most (rank ${rank ?? '?'})`, 3],
      ['median', 'median', 0],
      ['least', 'least', 2],
    ] as const;
    return all.map(([name, label, color]) => ({
      label,
      color: seriesColor(color),
      x,
      y: memory[name] ?? [],
    }));
  }
  return Object.keys(memory)
    .filter((name) => name.startsWith('rank.'))
    .map((name, index) => ({
      label: name.replace('.', ' '),
      color: seriesColor(index),
      x,
      y: memory[name] ?? [],
      ...(index >= 8 ? { dash: [4, 2] } : {}),
    }));
}

/** Returns the greatest value of each row. */
function mostOf({ time, most, ...ranks }: Columns): Values {
  if (most !== undefined) return most;
  const columns = Object.values(ranks);
  return (time ?? []).map((_, row) => {
    const known = columns.flatMap((column) => column[row] ?? []);
    return known.length === 0 ? null : Math.max(...known);
  });
}

function memoryX(run: RunData, axis: ChartsInput['axis']): Values {
  return (run.group('memory').time ?? []).map((time) => {
    if (time === null) return null;
    return axis === 'time' ? (time - run.startedAt) / 1e3 : run.xOfStep(axis, run.clock.stepAt(time));
  });
}

/** Returns a series for each domain of one run or, for several, the token-weighted mean of each, in its colour. */
function validationSeries(input: ChartsInput): ChartSeries[] {
  return input.runs.flatMap((run, runIndex) => {
    const points = run.metrics?.validations ?? [];
    if (points.length === 0) return [];
    const x = points.map(({ step }) => run.xOfStep(input.axis, step));
    const style = { x, ...sparseStyle(points.length) };
    if (input.runs.length > 1) {
      const y = points.map(({ loss }) => loss);
      return [
        { ...style, label: `${run.runId}, validation`, color: seriesColor(runIndex), y, isQuiet: true },
      ];
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

/** Returns a line for each run that has any value, named after the run where there are several. */
export function perRun(
  input: ChartsInput,
  group: MetricsGroup,
  column: string,
  label: string,
): ChartSeries[] {
  const { runs, axis } = input;
  return runs.map((run, index) => {
    const columns = run.group(group);
    const y = columns[column] ?? [];
    const hasAny = y.some((value) => value !== null);
    return {
      label: runs.length === 1 ? label : run.runId,
      color: seriesColor(index),
      x: hasAny ? xOf(run, columns, axis) : [],
      y: hasAny ? y : [],
    };
  });
}

function stackOf(
  { runs: [run], axis }: ChartsInput,
  group: MetricsGroup,
  layers: readonly (readonly [name: string, label: string, color: number])[],
): ChartSeries[] {
  if (run === undefined) return [];
  const columns = run.group(group);
  const hasAny = layers.some(([name]) => columns[name]?.some((value) => value !== null));
  const x = hasAny ? xOf(run, columns, axis) : [];
  return layers.map(([name, label, color]) => ({
    label,
    color: seriesColor(color),
    isStacked: true,
    x,
    y: hasAny ? (columns[name] ?? []) : [],
  }));
}

function xOf(run: RunData, { step = [], time = [] }: Columns, axis: ChartsInput['axis']): Values {
  if (axis === 'step') return step;
  if (axis === 'time') return time.map((ms) => (ms === null ? null : (ms - run.startedAt) / 1e3));
  return step.map((each) => (each === null ? null : run.xOfStep(axis, each)));
}
