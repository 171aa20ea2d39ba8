import { axisNumbers } from '../format.js';
import { cssColor } from '../theme.js';
import type uPlot from '../vendor/uplot.js';
import type { ChartSeries } from './chart-data.js';
import type { XAxis } from './x-axis.js';

const AXIS_SIZE = 46;

export interface PlotStyle {
  /** Tick labels of the left axis; `axisNumbers` by default. */
  readonly ticks?: (values: readonly number[]) => string[];
  /** Stacks series of the same x. */
  readonly isStacked?: boolean;
  readonly startsAtZero?: boolean;
}

/** Ranges of x; the last one may have no end. */
export type Bands = readonly (readonly [number, number])[];

export interface PlotHandlers {
  /** The zoom; null for all. */
  readonly xRange: () => readonly [number, number] | null;
  readonly bands: () => Bands;
  readonly onCursor: (plot: uPlot) => void;
  readonly onSelect: (plot: uPlot) => void;
  readonly onDoubleClick: () => void;
}

/** uPlot's options, but for the size. */
export function plotOptions(
  series: readonly ChartSeries[],
  xAxis: XAxis,
  style: PlotStyle,
  { xRange, bands, onCursor, onSelect, onDoubleClick }: PlotHandlers,
): Omit<uPlot.Options, 'width' | 'height'> {
  const hasRight = series.some(({ isRight }) => isRight);
  const yRange: uPlot.Range.Function = (_, min, max) => paddedRange(min, max, style.startsAtZero === true);
  return {
    padding: [8, hasRight ? 0 : 10, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { size: 6 },
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
      y: { range: yRange },
      right: { range: yRange },
    },
    axes: [
      {
        ...axisStyle(),
        size: 22,
        space: 60,
        grid: { show: false },
        incrs: [...xAxis.steps],
        values: (_, values) => values.map(xAxis.tick),
      },
      yAxis('y', style.ticks ?? axisNumbers),
      ...(hasRight ? [yAxis('right', axisNumbers)] : []),
    ],
    series: [{}, ...series.map((each) => seriesOptions(each, style.isStacked === true))],
    hooks: {
      drawClear: [(plot) => shade(plot, bands())],
      setCursor: [onCursor],
      setSelect: [onSelect],
    },
  };
}

/** Shades ranges of x behind the series. */
function shade({ ctx, bbox, valToPos }: uPlot, bands: Bands): void {
  ctx.fillStyle = cssColor('--band');
  const right = bbox.left + bbox.width;
  const clip = (x: number) => Math.max(bbox.left, Math.min(right, x));
  for (const [from, to] of bands) {
    const start = clip(valToPos(from, 'x', true));
    const end = Number.isFinite(to) ? clip(valToPos(to, 'x', true)) : right;
    ctx.fillRect(start, bbox.top, Math.max(0, end - start), bbox.height);
  }
}

function axisStyle(): uPlot.Axis {
  return {
    stroke: cssColor('--text-dim'),
    font: `11px ${cssColor('--font')}`,
    ticks: { show: false },
    gap: 4,
  };
}

function yAxis(scale: 'y' | 'right', ticks: (values: readonly number[]) => string[]): uPlot.Axis {
  return {
    ...axisStyle(),
    scale,
    side: scale === 'right' ? 1 : 3,
    size: AXIS_SIZE,
    space: 28,
    grid: scale === 'right' ? { show: false } : { stroke: cssColor('--grid'), width: 1 },
    values: (_, values) => ticks(values),
  };
}

function seriesOptions(
  { color, dash, hasPoints, width = 1.5, isRight }: ChartSeries,
  isStacked: boolean,
): uPlot.Series {
  return {
    scale: isRight ? 'right' : 'y',
    stroke: isStacked ? cssColor('--card') : color,
    width: isStacked ? 0.5 : width,
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
