import { fill, h } from '../dom.js';
import { DASH } from '../format.js';
import type { PageState } from '../page-state.js';
import { onTheme } from '../theme.js';
import uPlot from '../vendor/uplot.js';
import { alignedData, type ChartSeries, lastKnown } from './chart-data.js';
import { csvOf, type LegendEntry, pictureOf } from './chart-export.js';
import { listenToPlot } from './chart-pointer.js';
import { type GenerationMarks, NO_MARKS } from './generation-spans.js';
import { typicalRange } from './outliers.js';
import { type PlotStyle, plotOptions } from './plot-options.js';
import { withSmoothing } from './smoothing.js';
import { STEP_AXIS, type XAxis } from './x-axis.js';

export interface ChartOptions extends PlotStyle {
  readonly title: string;
  readonly formatRight?: (value: number) => string;
  /** Called with the x values dragged over; null to reset. */
  readonly onRange: (range: readonly [number, number] | null) => void;
  readonly onCursor: (x: number | null) => void;
  readonly onClick: (x: number) => void;
}

/** How the same data may be drawn. */
export interface ChartView {
  readonly smooth: PageState['smooth'];
  /** Lets no lone outlier set the scale. */
  readonly clips: boolean;
  readonly isLog: boolean;
}

const PLAIN: ChartView = { smooth: 'off', clips: false, isLog: false };
/** A label that is longer takes two columns of the legend. */
const SHORT_LABEL = 13;

/** A chart in a card: title, legend with values, plot. */
export class Chart {
  readonly element: HTMLElement;
  /** Beside the title. */
  readonly tools = h('div', { class: 'chart-tools' });
  readonly #unit = h('small');
  readonly #plotArea = h('div', { class: 'plot', tabindex: '0', role: 'img' });
  readonly #legend = h('div', { class: 'legend' });
  readonly #beyondNote = h('small', { class: 'beyond' });
  readonly #empty = h('p', { class: 'empty' });
  #plot: uPlot | null = null;
  /** As recorded. */
  #recorded: readonly ChartSeries[] = [];
  /** As drawn: smoothed, if that is wanted. */
  #series: readonly ChartSeries[] = [];
  #data: uPlot.AlignedData = [[]];
  /** Styles of the series: a change needs another plot, not just other data. */
  #shape = '';
  #range: readonly [number, number] | null = null;
  #view = PLAIN;
  #axis = STEP_AXIS;
  #generations = NO_MARKS;
  #yRange: readonly [number, number] | null = null;
  #beyond: readonly number[] = [];
  /** True while the cursor is set by another chart. */
  #isFollowing = false;

  constructor(readonly options: ChartOptions) {
    this.element = h(
      'section',
      { class: 'card chart', 'aria-label': options.title },
      h('header', {}, h('h2', {}, options.title, ' ', this.#unit), this.#beyondNote, this.tools),
      this.#legend,
      this.#plotArea,
      this.#empty,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#plotArea);
    onTheme(() => this.#rebuild());
    this.#plotArea.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** What is drawn, in a few words beside the title. */
  setUnit(text: string): void {
    this.#unit.textContent = text;
  }

  /**
   * Replaces the series.
   *
   * @param emptyText shown if none has a value
   * @param generations marks behind the series
   */
  set(
    series: readonly ChartSeries[],
    axis: XAxis,
    emptyText: string,
    {
      generations = NO_MARKS,
      view = PLAIN,
    }: { readonly generations?: GenerationMarks; readonly view?: ChartView } = {},
  ): void {
    this.#generations = generations;
    this.#recorded = series;
    this.#series = withSmoothing(series, view.smooth, this.#range);
    this.#data = alignedData(this.#series);
    const isEmpty = series.every(({ y }) => y.length === 0);
    fill(this.#empty, isEmpty ? emptyText : '');
    const shape = JSON.stringify([
      axis.name,
      view.isLog,
      this.#series.map(({ x, y, label, ...style }) => style),
    ]);
    this.#axis = axis;
    this.#view = view;
    this.#findOutliers();
    if (this.#plot === null || shape !== this.#shape) {
      this.#shape = shape;
      this.#rebuild();
    } else this.#plot.setData(this.#data);
    this.#showLegend();
  }

  /** Zooms; null for all. */
  setRange(range: readonly [number, number] | null): void {
    if (String(range) === String(this.#range)) return;
    this.#range = range;
    this.#findOutliers();
    this.#plot?.setData(this.#data);
  }

  /** Moves the cursor to where another chart has it. */
  setCursor(x: number | null): void {
    const plot = this.#plot;
    if (plot === null) return;
    this.#isFollowing = true;
    plot.setCursor({ left: x === null ? -10 : plot.valToPos(x, 'x'), top: x === null ? -10 : 0 });
    this.#isFollowing = false;
  }

  /** The recorded values that are drawn. */
  get csv(): string {
    return csvOf(this.#axis.name, this.#recorded);
  }

  /** Null without a plot. */
  async picture(): Promise<Blob | null> {
    return this.#plot && pictureOf(this.options.title, this.#entries(null), this.#plot);
  }

  #rebuild(): void {
    this.#plot?.destroy();
    this.#plot = null;
    const { clientWidth: width, clientHeight: height } = this.#plotArea;
    if (this.#series.length === 0 || width === 0) return;
    const { options } = this;
    const shownOptions = plotOptions(this.#series, this.#axis, options, this.#view.isLog, {
      xRange: () => this.#range,
      yRange: () => this.#yRange,
      beyond: () => this.#beyond,
      generations: () => this.#generations,
      onCursor: (plot) => this.#onCursor(plot),
      onSelect: (plot) => this.#onSelect(plot),
      onDoubleClick: () => options.onRange(null),
    });
    this.#plot = new uPlot({ ...shownOptions, width, height }, this.#data, this.#plotArea);
    listenToPlot(this.#plot, {
      onClick: () => {
        const x = this.#xAtCursor();
        if (x !== null) options.onClick(x);
      },
      onLeave: () => options.onCursor(null),
    });
  }

  #onCursor(plot: uPlot): void {
    this.#showLegend(plot.cursor.idx ?? null);
    if (this.#isFollowing) return;
    const { left = -1 } = plot.cursor;
    this.options.onCursor(left < 0 ? null : plot.posToVal(left, 'x'));
  }

  #onSelect(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const range = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')] as const;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.options.onRange(range);
  }

  /** The x value of the row nearest to the cursor. */
  #xAtCursor(): number | null {
    const index = this.#plot?.cursor.idx;
    return index === null || index === undefined ? null : (this.#plot?.data[0][index] ?? null);
  }

  /** Arrow keys move the cursor by a row, Enter clicks, Escape resets the zoom. */
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
    } else if (event.key === 'Escape' && this.#range !== null) {
      this.options.onRange(null);
      event.stopPropagation();
    }
  }

  /** Sets the range of the left axis, and counts what lies beyond it. */
  #findOutliers(): void {
    const [first, last] = this.#range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    const xs = this.#data[0];
    const rows = Array.from(xs, (_, row) => row).filter((row) => xs[row] >= first && xs[row] <= last);
    const ranges = this.#series.flatMap(({ isRight }, index) => {
      const values = rows.map((row) => this.#data[index + 1]?.[row]);
      const range = isRight ? null : typicalRange(values, this.options.startsAtZero === true);
      return range === null ? [] : [{ ...range, values }];
    });
    this.#yRange = null;
    this.#beyond = [];
    fill(this.#beyondNote);
    if (!this.#view.clips || ranges.every(({ beyond }) => beyond.length === 0)) return;
    const [low, high] = [
      Math.min(...ranges.map((range) => range.low)),
      Math.max(...ranges.map((range) => range.high)),
    ];
    const far = ranges.flatMap(({ beyond, values }) =>
      beyond.flatMap((index) => {
        const value = values[index];
        return value != null && (value > high || value < low) ? [{ x: xs[rows[index]], value }] : [];
      }),
    );
    if (far.length === 0) return;
    this.#yRange = [low, high];
    this.#beyond = [...new Set(far.filter(({ value }) => value > high).map(({ x }) => x))];
    const farthest = far.reduce((most, { value }) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const places = new Set(far.map(({ x }) => x)).size;
    const count = `${places} outlier${places === 1 ? '' : 's'}`;
    fill(this.#beyondNote, `${count}, to ${this.options.format(farthest)}`);
  }

  /** @param index row of the cursor; null for the last values */
  #entries(index: number | null): LegendEntry[] {
    return this.#series.flatMap((series, number) => {
      if (series.isQuiet) return [];
      const { label, color, y, isRight, isStacked } = series;
      // The plot's columns of a stack are sums.
      const column = isStacked ? y : this.#data[number + 1];
      const value = index === null ? lastKnown(y) : (column?.[index] ?? null);
      const format = (isRight && this.options.formatRight) || this.options.format;
      return [{ label, color, value: value === null ? DASH : format(value) }];
    });
  }

  /** Shows the values at a row, or the last ones. Its columns have fixed widths: nothing moves with the values. */
  #showLegend(index: number | null = null): void {
    const entries = this.#entries(index);
    const dashed = this.#series.filter(({ isQuiet }) => !isQuiet).map(({ dash }) => dash !== undefined);
    const at = index === null ? null : this.#data[0][index];
    const last = this.#data[0].at(-1);
    const place =
      at === null ? last !== undefined && `last, ${this.#axis.place(last)}` : this.#axis.place(at);
    fill(
      this.#legend,
      h('span', { class: at === null ? 'place' : 'place at' }, place),
      ...entries.map(({ label, value, color }, number) => {
        const swatch = h('i', { class: dashed[number] ? 'swatch dashed' : 'swatch' });
        swatch.style.setProperty('--color', color);
        const isLong = label.length > SHORT_LABEL;
        return h(
          'span',
          { class: isLong ? 'entry is-long' : 'entry', title: isLong ? label : undefined },
          swatch,
          h('span', { class: 'label' }, label),
          h('b', {}, value),
        );
      }),
    );
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
