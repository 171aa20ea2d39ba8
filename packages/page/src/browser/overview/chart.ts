import { fill, h } from '../dom.js';
import { DASH } from '../format.js';
import { onTheme } from '../theme.js';
import uPlot from '../vendor/uplot.js';
import { alignedData, type ChartSeries, lastKnown } from './chart-data.js';
import { type Bands, type PlotStyle, plotOptions } from './plot-options.js';
import { STEP_AXIS, type XAxis } from './x-axis.js';

export interface ChartOptions extends PlotStyle {
  readonly title: string;
  readonly unit?: string;
  readonly format: (value: number) => string;
  readonly formatRight?: (value: number) => string;
  /** Called with the x values dragged over; null to reset. */
  readonly onRange: (range: readonly [number, number] | null) => void;
  readonly onCursor: (x: number | null) => void;
  readonly onClick: (x: number) => void;
}

const CLICK_SLACK_PX = 4;
/** A click counts once no second one, of a double click, has followed. */
const DOUBLE_CLICK_MS = 250;

/** A chart in a card: title, legend with values, plot. */
export class Chart {
  readonly element: HTMLElement;
  readonly #plotArea = h('div', { class: 'plot', tabindex: '0', role: 'img' });
  readonly #legend = h('div', { class: 'legend' });
  readonly #empty = h('p', { class: 'empty' });
  #plot: uPlot | null = null;
  #series: readonly ChartSeries[] = [];
  /** Styles of the series: a change needs another plot, not just other data. */
  #shape = '';
  #range: readonly [number, number] | null = null;
  #axis = STEP_AXIS;
  #bands: Bands = [];
  #clickTimer: ReturnType<typeof setTimeout> | undefined;
  /** True while the cursor is set by another chart. */
  #isFollowing = false;

  /** @param tools shown beside the title */
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

  /**
   * Replaces the series.
   *
   * @param emptyText shown if none has a value
   * @param bands ranges of x that are shaded
   */
  set(series: readonly ChartSeries[], axis: XAxis, emptyText: string, bands: Bands = []): void {
    this.#bands = bands;
    const isOtherAxis = axis !== this.#axis;
    this.#axis = axis;
    this.#series = series;
    const isEmpty = series.every(({ y }) => y.length === 0);
    fill(this.#empty, isEmpty ? emptyText : '');
    const shape = JSON.stringify(series.map(({ x, y, ...style }) => style));
    if (this.#plot === null || isOtherAxis || shape !== this.#shape) {
      this.#shape = shape;
      this.#rebuild();
    } else this.#plot.setData(this.#data);
    this.#showLegend();
  }

  /** Zooms; null for all. */
  setRange(range: readonly [number, number] | null): void {
    this.#range = range;
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

  get #data(): uPlot.AlignedData {
    return alignedData(this.#series, this.options.isStacked === true);
  }

  #rebuild(): void {
    this.#plot?.destroy();
    this.#plot = null;
    const { clientWidth: width, clientHeight: height } = this.#plotArea;
    if (this.#series.length === 0 || width === 0) return;
    const options = plotOptions(this.#series, this.#axis, this.options, {
      xRange: () => this.#range,
      bands: () => this.#bands,
      onCursor: (plot) => this.#onCursor(plot),
      onSelect: (plot) => this.#onSelect(plot),
      onDoubleClick: () => {
        clearTimeout(this.#clickTimer);
        this.options.onRange(null);
      },
    });
    this.#plot = new uPlot({ ...options, width, height }, this.#data, this.#plotArea);
    this.#listen(this.#plot.over);
  }

  #listen(over: HTMLElement): void {
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
    } else if (event.key === 'Escape' && this.#range !== null) this.options.onRange(null);
  }

  /** @param index row of the cursor; null shows the last values */
  #showLegend(index: number | null = null): void {
    const plot = this.#plot;
    const entries = this.#series.flatMap((series, number) => {
      if (series.isQuiet) return [];
      const { label, color, y, dash, isRight } = series;
      // The plot's columns of a stack are sums.
      const column = this.options.isStacked ? y : plot?.data[number + 1];
      const value = index === null ? lastKnown(y) : (column?.[index] ?? null);
      const format = (isRight && this.options.formatRight) || this.options.format;
      const swatch = h('i', { class: dash === undefined ? 'swatch' : 'swatch dashed' });
      swatch.style.setProperty('--color', color);
      return [
        h('span', { class: 'entry' }, swatch, label, h('b', {}, value === null ? DASH : format(value))),
      ];
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
