import { axisNumbers } from '../format.js';
import { cssColor } from '../theme.js';
import { logTicks, roundNumbers } from '../ticks.js';
import type uPlot from '../vendor/uplot.js';
import type { ChartSeries } from './chart-data.js';
import { generationPlugin } from './generation-plugin.js';
import type { GenerationMarks } from './generation-spans.js';
import type { XAxis } from './x-axis.js';

const AXIS_SIZE = 54;
const NAME_SIZE = 15;
/** Minimum distance of y ticks in px, and their maximum number. */
const Y_SPACE = 24;
const MAX_Y_TICKS = 10;
/** Padding in px for half of the label of the last x tick. */
const RIGHT_PADDING = 26;
const MARK = 4;

export interface PlotStyle {
  /** Name of the values of the left axis. */
  readonly yName?: string;
  readonly rightName?: string;
  readonly format: (value: number) => string;
  /** Tick labels of the left axis; `axisNumbers` by default. */
  readonly ticks?: (values: readonly number[]) => string[];
  readonly startsAtZero?: boolean;
}

/** Marks in a plot beside its series. */
export interface ChartMarks {
  readonly generations: GenerationMarks;
  /** First and last x of ranges of skipped steps. */
  readonly skipped: readonly (readonly [from: number, to: number])[];
}

export interface PlotHandlers {
  readonly xRange: () => readonly [number, number] | null;
  /** Returns the range of the left axis that leaves out outliers; null if the axis covers all values. */
  readonly yRange: () => readonly [number, number] | null;
  /** The x values of points beyond the left axis. */
  readonly beyond: () => readonly number[];
  readonly marks: () => ChartMarks;
  /** The row at the cursor. @param nearest the row nearest in x */
  readonly rowAt: (plot: uPlot, nearest: number) => number;
  readonly onCursor: (plot: uPlot) => void;
  readonly onSelect: (plot: uPlot) => void;
  readonly onDoubleClick: () => void;
}

/** Returns uPlot's options, except for the size. */
export function plotOptions(
  series: readonly ChartSeries[],
  xAxis: XAxis,
  style: PlotStyle,
  isLog: boolean,
  { xRange, yRange, beyond, marks, rowAt, onCursor, onSelect, onDoubleClick }: PlotHandlers,
): Omit<uPlot.Options, 'width' | 'height'> {
  const hasRight = series.some(({ isRight }) => isRight);
  const padded = isLog ? paddedLogRange : paddedRange;
  return {
    padding: [8, hasRight ? 0 : RIGHT_PADDING, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 6 },
      dataIdx: (plot, _series, nearest) => rowAt(plot, nearest),
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          onDoubleClick();
          return null;
        },
      },
    },
    scales: {
      x: { time: false, range: (_, min, max) => nonEmpty(xRange() ?? [min, max]) },
      y: {
        distr: isLog ? 3 : 1,
        range: (_, min, max) => padded(...(yRange() ?? [min, max]), style.startsAtZero === true),
      },
      right: { range: (_, min, max) => paddedRange(min, max, style.startsAtZero === true) },
    },
    axes: [
      {
        ...axisStyle(xAxis.name),
        size: 20,
        space: xAxis.space,
        grid: { show: false },
        incrs: [...xAxis.steps],
        values: (_, values) => values.map(xAxis.tick),
      },
      leftAxis(style, isLog),
      ...(hasRight ? [rightAxis(style.rightName)] : []),
    ],
    series: [{}, ...series.map(seriesOptions)],
    plugins: [generationPlugin(() => marks().generations)],
    hooks: {
      draw: [(plot) => markBeyond(plot, beyond()), (plot) => markSkipped(plot, marks().skipped)],
      setCursor: [onCursor],
      setSelect: [onSelect],
    },
  };
}

/** Draws crosses at the lower edge, where the update of a step was skipped. */
function markSkipped({ ctx, bbox, valToPos }: uPlot, ranges: ChartMarks['skipped']): void {
  const scale = window.devicePixelRatio || 1;
  const size = MARK * scale;
  const y = bbox.top + bbox.height - size;
  ctx.save();
  ctx.strokeStyle = cssColor('--level-error');
  ctx.lineWidth = 1.5 * scale;
  ctx.beginPath();
  for (const [from, to] of ranges) {
    const [left, right] = [valToPos(from, 'x', true), valToPos(to, 'x', true)];
    if (right < bbox.left - 1 || left > bbox.left + bbox.width + 1) continue;
    for (const x of right - left > size ? [left, right] : [(left + right) / 2]) {
      ctx.moveTo(x - size, y - size);
      ctx.lineTo(x + size, y + size);
      ctx.moveTo(x - size, y + size);
      ctx.lineTo(x + size, y - size);
    }
    ctx.moveTo(left, y);
    ctx.lineTo(right, y);
  }
  ctx.stroke();
  ctx.restore();
}

/** Draws small triangles at the upper edge, where values lie beyond it. */
function markBeyond({ ctx, bbox, valToPos }: uPlot, xs: readonly number[]): void {
  const size = MARK * (window.devicePixelRatio || 1);
  ctx.fillStyle = cssColor('--text-dim');
  for (const value of xs) {
    const x = valToPos(value, 'x', true);
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - size);
    ctx.lineTo(x - size, bbox.top + size);
    ctx.lineTo(x + size, bbox.top + size);
    ctx.fill();
  }
}

function axisStyle(name: string | undefined): uPlot.Axis {
  const font = `11px ${cssColor('--font')}`;
  return {
    stroke: cssColor('--text-dim'),
    font,
    ticks: { show: false },
    gap: 4,
    ...(name === undefined ? {} : { label: name, labelFont: font, labelSize: NAME_SIZE, labelGap: 0 }),
  };
}

function leftAxis({ yName, format, ticks = axisNumbers }: PlotStyle, isLog: boolean): uPlot.Axis {
  const splits = (plot: uPlot, _: number, low: number, high: number) => {
    const height = plot.bbox.height / (window.devicePixelRatio || 1);
    const maxTicks = Math.min(MAX_Y_TICKS, height / Y_SPACE);
    return isLog ? logTicks(low, high, maxTicks) : roundNumbers(low, high, maxTicks);
  };
  return {
    ...axisStyle(yName),
    scale: 'y',
    side: 3,
    size: AXIS_SIZE,
    splits,
    filter: (_, values) => values,
    grid: { stroke: cssColor('--grid'), width: 1 },
    values: (_, values) =>
      isLog && (values.at(-1) ?? 1) / values[0]! >= 10 ? values.map(format) : ticks(values),
  };
}

function rightAxis(name: string | undefined): uPlot.Axis {
  return {
    ...axisStyle(name),
    scale: 'right',
    side: 1,
    size: AXIS_SIZE,
    space: Y_SPACE,
    grid: { show: false },
    values: (_, values) => axisNumbers(values),
  };
}

function seriesOptions(series: ChartSeries): uPlot.Series {
  const { color, dash, hasPoints, width = 1.5, alpha = 1, isRight, isStacked } = series;
  return {
    scale: isRight ? 'right' : 'y',
    stroke: isStacked ? cssColor('--card') : color,
    width: isStacked ? 0.5 : width,
    alpha,
    ...(isStacked ? { fill: color } : {}),
    ...(dash === undefined ? {} : { dash: [...dash] }),
    points: { show: hasPoints === true, size: 5, fill: color, stroke: color },
    spanGaps: false,
  };
}

function nonEmpty([min, max]: readonly [number | null, number | null]): [number, number] {
  if (min === null || max === null) return [0, 1];
  return min === max ? [min - 1, max + 1] : [min, max];
}

function paddedRange(min: number | null, max: number | null, startsAtZero: boolean): [number, number] {
  if (min === null || max === null) return [0, 1];
  const low = startsAtZero ? Math.min(0, min) : min;
  const span = max - low || Math.abs(max) || 1;
  return [startsAtZero && low === 0 ? 0 : low - 0.06 * span, max + 0.06 * span];
}

/** Pads the range of a logarithmic scale, which has no zero. */
function paddedLogRange(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || max <= 0) return [0.1, 1];
  const low = min > 0 ? min : max / 1e4;
  const factor = (max / low) ** 0.06 * 1.02;
  return [low / factor, max * factor];
}
