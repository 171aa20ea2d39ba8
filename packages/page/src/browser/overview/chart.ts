import { fill, h } from '../dom.js';
import { axisNumbers } from '../format.js';
import { cssColor, onTheme } from '../theme.js';
import uPlot from '../vendor/uplot.js';

export type Values = readonly (number | null | undefined)[];

/** One line of a chart, or one layer of a stack. */
export interface ChartSeries {
  readonly label: string;
  readonly color: string;
  readonly x: Values;
  readonly y: Values;
  readonly dash?: readonly number[];
  /** Marks every value: for series of few values. */
  readonly hasPoints?: boolean;
  readonly width?: number;
  /** On an axis of its own at the right. */
  readonly isRight?: boolean;
  /** Not in the legend. */
  readonly isQuiet?: boolean;
}

/** What x values are. */
export interface XAxis {
  /** Distances that ticks may have, ascending. */
  readonly steps: readonly number[];
  readonly tick: (value: number) => string;
  /** Says where the cursor is. */
  readonly place: (value: number) => string;
}

const STEP_STEPS = [1, 2, 5].flatMap((digit) => Array.from({ length: 8 }, (_, power) => digit * 10 ** power));

/** x values are steps. */
export const STEP_AXIS: XAxis = {
  steps: STEP_STEPS.sort((a, b) => a - b),
  tick: (step) => String(step),
  place: (step) => `step ${Number(step.toFixed(1))}`,
};

export interface ChartOptions {
  readonly title: string;
  /** Said after the title, dimmed. */
  readonly unit?: string;
  readonly format: (value: number) => string;
  readonly formatRight?: (value: number) => string;
  /** What the left axis says at its ticks; numbers of equally many digits unless told otherwise. */
  readonly ticks?: (values: readonly number[]) => string[];
  /** Series of the same x lie on each other. */
  readonly isStacked?: boolean;
  readonly startsAtZero?: boolean;
  /** Steps that are dragged over; null for all again. */
  readonly onRange: (range: readonly [number, number] | null) => void;
  readonly onCursor: (x: number | null) => void;
  readonly onClick: (x: number) => void;
}

const AXIS_SIZE = 46;
const CLICK_SLACK_PX = 4;
/** A second click within it makes a double one. */
const DOUBLE_CLICK_MS = 250;

/** A chart in a card: title, legend with values, plot. Its x values are steps or seconds; the owner knows. */
export class Chart {
  readonly element: HTMLElement;
  readonly #plotArea = h('div', { class: 'plot', tabindex: '0', role: 'img' });
  readonly #legend = h('div', { class: 'legend' });
  readonly #empty = h('p', { class: 'empty' });
  #plot: uPlot | null = null;
  #series: readonly ChartSeries[] = [];
  #shape = '';
  #range: readonly [number, number] | null = null;
  #axis = STEP_AXIS;
  #clickTimer: ReturnType<typeof setTimeout> | undefined;
  /** The cursor comes from another chart. */
  #isFollowing = false;

  constructor(
    readonly options: ChartOptions,
    tools: HTMLElement | null = null,
  ) {
    const heading = h(
      'h2',
      {},
      options.title,
      options.unit !== undefined && h('small', {}, ` ${options.unit}`),
    );
    this.element = h(
      'section',
      { class: 'card chart', 'aria-label': options.title },
      h('header', {}, heading, tools, this.#legend),
      this.#plotArea,
      this.#empty,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#plotArea);
    onTheme(() => this.#rebuild());
    this.#plotArea.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Shows other series; `emptyText` is said where there is none. */
  set(series: readonly ChartSeries[], axis: XAxis, emptyText: string): void {
    const isOtherAxis = axis !== this.#axis;
    this.#axis = axis;
    this.#series = series;
    const isEmpty = series.every(({ y }) => y.length === 0);
    fill(this.#empty, isEmpty ? emptyText : '');
    const shape = JSON.stringify(series.map(({ x, y, ...style }) => style));
    if (this.#plot === null || isOtherAxis || shape !== this.#shape) {
      this.#shape = shape;
      this.#rebuild();
    } else this.#plot.setData(this.#data());
    this.#showLegend();
  }

  setRange(range: readonly [number, number] | null): void {
    this.#range = range;
    this.#plot?.setData(this.#data());
  }

  /** Puts the cursor where another picture has it. */
  setCursor(x: number | null): void {
    const plot = this.#plot;
    if (plot === null) return;
    this.#isFollowing = true;
    plot.setCursor({ left: x === null ? -10 : plot.valToPos(x, 'x'), top: x === null ? -10 : 0 });
    this.#isFollowing = false;
  }

  #data(): uPlot.AlignedData {
    const series = this.options.isStacked ? stacked(this.#series) : this.#series;
    if (series.length === 0) return [[]];
    const tables = series.map(({ x, y }) => [x, y] as unknown as uPlot.AlignedData);
    const isShared = series.every(({ x }) => x === series[0].x);
    return isShared ? ([series[0].x, ...series.map(({ y }) => y)] as uPlot.AlignedData) : uPlot.join(tables);
  }

  #rebuild(): void {
    this.#plot?.destroy();
    this.#plot = null;
    const { clientWidth: width, clientHeight: height } = this.#plotArea;
    if (this.#series.length === 0 || width === 0) return;
    this.#plot = new uPlot({ ...this.#plotOptions(), width, height }, this.#data(), this.#plotArea);
    const { over } = this.#plot;
    let pressedAt = 0;
    over.addEventListener('mousedown', ({ clientX }) => {
      pressedAt = clientX;
    });
    over.addEventListener('click', ({ clientX }) => {
      const x = this.#xAtCursor();
      clearTimeout(this.#clickTimer);
      if (Math.abs(clientX - pressedAt) >= CLICK_SLACK_PX || x === null) return;
      this.#clickTimer = setTimeout(() => this.options.onClick(x), DOUBLE_CLICK_MS);
    });
    over.addEventListener('mouseleave', () => this.options.onCursor(null));
  }

  #plotOptions(): Omit<uPlot.Options, 'width' | 'height'> {
    const [text, grid] = [cssColor('--text-dim'), cssColor('--grid')];
    const { options } = this;
    const font = `11px ${cssColor('--font')}`;
    const axis = { stroke: text, font, ticks: { show: false }, gap: 4 };
    const yRange: uPlot.Range.Function = (_, min, max) =>
      paddedRange(min, max, options.startsAtZero === true);
    const hasRight = this.#series.some(({ isRight }) => isRight);
    const yAxis = (scale: string, ticks: (values: readonly number[]) => string[]): uPlot.Axis => ({
      ...axis,
      scale,
      side: scale === 'right' ? 1 : 3,
      size: AXIS_SIZE,
      space: 28,
      grid: scale === 'right' ? { show: false } : { stroke: grid, width: 1 },
      values: (_, values) => ticks(values),
    });
    return {
      padding: [8, hasRight ? 0 : 10, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { size: 6 },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => this.#showAll() },
      },
      scales: {
        x: { time: false, range: (_, min, max) => xRange(this.#range ?? [min, max]) },
        y: { range: yRange },
        right: { range: yRange },
      },
      axes: [
        {
          ...axis,
          size: 22,
          space: 60,
          grid: { show: false },
          incrs: [...this.#axis.steps],
          values: (_, values) => values.map(this.#axis.tick),
        },
        yAxis('y', options.ticks ?? axisNumbers),
        ...(hasRight ? [yAxis('right', axisNumbers)] : []),
      ],
      series: [{}, ...this.#series.map((series) => this.#seriesOptions(series))],
      hooks: {
        setCursor: [(plot) => this.#onCursor(plot)],
        setSelect: [(plot) => this.#onSelect(plot)],
      },
    };
  }

  #seriesOptions({ color, dash, hasPoints, width = 1.5, isRight }: ChartSeries): uPlot.Series {
    const { isStacked } = this.options;
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

  #onCursor(plot: uPlot): void {
    const index = plot.cursor.idx;
    this.#showLegend(index ?? null);
    if (this.#isFollowing) return;
    const { left = -1 } = plot.cursor;
    this.options.onCursor(left < 0 ? null : plot.posToVal(left, 'x'));
  }

  #onSelect(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < CLICK_SLACK_PX) return;
    const range = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')] as const;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.options.onRange(range);
  }

  #showAll(): null {
    clearTimeout(this.#clickTimer);
    this.options.onRange(null);
    return null;
  }

  /** Of the row under the cursor. */
  #xAtCursor(): number | null {
    const index = this.#plot?.cursor.idx;
    return index === null || index === undefined ? null : (this.#plot?.data[0][index] ?? null);
  }

  /** Arrows move the cursor by a row, Enter is a click, Escape shows everything again. */
  #onKey(event: KeyboardEvent): void {
    const plot = this.#plot;
    if (plot === null) return;
    const xs = plot.data[0];
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move !== undefined) {
      const index = Math.min(xs.length - 1, Math.max(0, (plot.cursor.idx ?? xs.length) + move));
      plot.setCursor({ left: plot.valToPos(xs[index], 'x'), top: 0 });
      event.preventDefault();
    } else if (event.key === 'Enter') {
      const x = this.#xAtCursor();
      if (x !== null) this.options.onClick(x);
    } else if (event.key === 'Escape' && this.#range !== null) this.options.onRange(null);
  }

  /** Names and values: those under the cursor, or else the last. */
  #showLegend(index: number | null = null): void {
    const plot = this.#plot;
    const entries = this.#series.flatMap((series, number) => {
      if (series.isQuiet) return [];
      const { label, color, y, dash, isRight } = series;
      const joined = this.options.isStacked ? y : plot?.data[number + 1];
      const value = index === null ? lastKnown(y) : (joined?.[index] ?? null);
      const format = (isRight && this.options.formatRight) || this.options.format;
      const swatch = h('i', { class: dash === undefined ? 'swatch' : 'swatch dashed' });
      swatch.style.setProperty('--color', color);
      return [h('span', { class: 'entry' }, swatch, label, h('b', {}, value === null ? '–' : format(value)))];
    });
    const at = index === null || plot === null ? null : plot.data[0][index];
    fill(this.#legend, at !== null && h('span', { class: 'at' }, this.#axis.place(at)), ...entries);
    if (index === null)
      this.#plotArea.setAttribute('aria-label', `${this.options.title}: ${this.#legend.textContent}`);
  }

  #resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#plotArea;
    if (width === 0 || height === 0) return;
    if (this.#plot === null) this.#rebuild();
    else this.#plot.setSize({ width, height });
  }
}

function lastKnown(values: Values): number | null {
  for (let index = values.length - 1; index >= 0; index--) {
    const value = values[index];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/** Sums from the last series up, so that the first lies on top; drawn in this order, each covers what is below it. */
function stacked(series: readonly ChartSeries[]): ChartSeries[] {
  const sums = new Array<number>(series[0]?.y.length ?? 0).fill(0);
  return series
    .toReversed()
    .map((each) => ({
      ...each,
      y: each.y.map((value, row) => {
        sums[row] += value ?? 0;
        return value === null ? null : sums[row];
      }),
    }))
    .toReversed();
}

function xRange([min, max]: readonly [number | null, number | null]): [number, number] {
  if (min === null || max === null) return [0, 1];
  return min === max ? [min - 1, max + 1] : [min, max];
}

function paddedRange(min: number | null, max: number | null, startsAtZero: boolean): [number, number] {
  if (min === null || max === null) return [0, 1];
  const low = startsAtZero ? Math.min(0, min) : min;
  const span = max - low || Math.abs(max) || 1;
  return [startsAtZero && low === 0 ? 0 : low - 0.06 * span, max + 0.06 * span];
}
