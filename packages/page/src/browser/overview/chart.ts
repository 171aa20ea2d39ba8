import { h, heading } from '../dom.js';
import { DASH } from '../format.js';
import { onTheme } from '../theme.js';
import uPlot from '../vendor/uplot.js';
import { BeyondNote } from './beyond-note.js';
import { alignedData, type ChartSeries, type Values, valueAt } from './chart-data.js';
import { csvOf, type LegendEntry, pictureOf } from './chart-export.js';
import { listenToPlot, nearestPoint } from './chart-pointer.js';
import { NO_MARKS } from './generation-spans.js';
import { Legend } from './legend.js';
import { clippedScale } from './outliers.js';
import { type ChartMarks, type PlotStyle, plotOptions } from './plot-options.js';
import { withSmoothing } from './smoothing.js';
import { STEP_AXIS, type XAxis } from './x-axis.js';

export interface ChartOptions extends PlotStyle {
  readonly title: string;
  readonly formatRight?: (value: number) => string;
  /** Called with the x values dragged over; null to reset. */
  readonly onRange: (range: readonly [number, number] | null) => void;
  readonly onCursor: (x: number | null) => void;
  readonly onClick: (x: number) => void;
  /** Called with the labels of all lines that are to be hidden; without it, the chart itself hides them. */
  readonly onToggle?: (labels: readonly string[]) => void;
  /** Text for a recorded value that is null. */
  readonly missing?: string;
}

/** How the same data may be drawn. */
export interface ChartView {
  /** The width of the window of an average, in x values; 0 for none. */
  readonly smoothing: number;
  /** Whether lone outliers are kept from setting the scale. */
  readonly clips: boolean;
  readonly isLog: boolean;
  /** Labels of lines that are not drawn. */
  readonly hidden: readonly string[];
}

const HIDDEN = 'hidden';
const PLAIN: ChartView = { smoothing: 0, clips: false, isLog: false, hidden: [] };
const UNMARKED: ChartMarks = { generations: NO_MARKS, skipped: [] };

/** A chart in a card: title, legend with values, plot. */
export class Chart {
  readonly element: HTMLElement;
  /** Controls beside the title. */
  readonly tools = h.div({ class: 'chart-tools' });
  readonly #unit = h.small();
  readonly #plotArea = h.div({ class: 'plot', tabindex: '0', role: 'img' });
  readonly #legend: Legend;
  readonly #beyond: BeyondNote;
  readonly #empty = h.p({ class: 'empty' });
  #plot: uPlot | null = null;
  /** Series as recorded. */
  #recorded: readonly ChartSeries[] = [];
  /** Series as drawn: smoothed, if smoothing is on. */
  #series: readonly ChartSeries[] = [];
  #data: uPlot.AlignedData = [[]];
  /** Styles of the series: a change needs another plot, not just other data. */
  #shape = '';
  #range: readonly [number, number] | null = null;
  #view = PLAIN;
  #axis = STEP_AXIS;
  #marks = UNMARKED;
  #yRange: readonly [number, number] | null = null;
  /** True while the cursor is set by another chart. */
  #isFollowing = false;
  /** True while the other charts are told where the pointer is. */
  #isPointed = false;
  /** Labels of lines that the chart itself hides. */
  #hidden: readonly string[] = [];
  /** Row under the cursor. */
  #row: number | null = null;

  constructor(readonly options: ChartOptions) {
    this.#legend = new Legend(options.onToggle ?? ((labels) => this.#hide(labels)));
    this.#beyond = new BeyondNote(options.format, (x) => options.onClick(x));
    this.element = h.section(
      { class: 'card chart', 'aria-label': options.title },
      heading(options.title, this.#unit, this.#beyond.element, this.tools),
      this.#legend.element,
      this.#plotArea,
      this.#empty,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#plotArea);
    onTheme(() => this.#rebuild());
    // The title is the label until there are values to describe.
    this.#plotArea.setAttribute('aria-label', options.title);
    this.#plotArea.addEventListener('keydown', (event) => this.#onKey(event));
  }

  /** Sets the few words beside the title that say what is drawn. */
  setUnit(text: string): void {
    this.#unit.textContent = text;
  }

  /**
   * Replaces the series.
   *
   * @param emptyText shown if none has a value
   */
  set(
    series: readonly ChartSeries[],
    axis: XAxis,
    emptyText: string,
    { marks = UNMARKED, view = PLAIN }: { readonly marks?: ChartMarks; readonly view?: ChartView } = {},
  ): void {
    this.#marks = marks;
    this.#recorded = series;
    const hidden = this.options.onToggle === undefined ? this.#hidden : view.hidden;
    const shown = series.filter(({ label }) => !hidden.includes(label));
    this.#series = withSmoothing(shown, view.smoothing);
    this.#data = alignedData(this.#series);
    this.#empty.textContent = series.every(({ y }) => y.length === 0) ? emptyText : '';
    const styles = this.#series.map(({ x, y, label, ...style }) => style);
    const shape = JSON.stringify([axis.name, view.isLog, styles]);
    this.#axis = axis;
    this.#view = view;
    this.#findOutliers();
    const named = series.filter(({ isQuiet }) => !isQuiet);
    this.#legend.set(named, hidden);
    if (this.#plot === null || shape !== this.#shape) {
      this.#shape = shape;
      this.#rebuild();
    } else this.#plot.setData(this.#data);
    this.#showLegend();
  }

  /** Zooms to a range; null shows all. */
  setRange(range: readonly [number, number] | null): void {
    if (String(range) === String(this.#range)) return;
    this.#range = range;
    this.#findOutliers();
    this.#plot?.setData(this.#data);
  }

  /** Moves the cursor to where another chart has it. */
  setCursor(x: number | null): void {
    const plot = this.#plot;
    if (plot === null || this.#isPointed) return;
    this.#follow(plot, x === null ? { left: -10, top: -10 } : { left: plot.valToPos(x, 'x'), top: 0 });
  }

  #follow(plot: uPlot, place: { readonly left: number; readonly top: number }): void {
    this.#isFollowing = true;
    plot.setCursor(place);
    this.#isFollowing = false;
  }

  /** The recorded values that are drawn. */
  get csv(): string {
    return csvOf(this.#axis.name, this.#recorded);
  }

  /** Draws the chart as a picture; null without a plot. */
  async picture(): Promise<Blob | null> {
    return this.#plot && pictureOf(this.options.title, this.#entries(null), this.#plot);
  }

  #hide(labels: readonly string[]): void {
    this.#hidden = labels;
    this.set(this.#recorded, this.#axis, '', { marks: this.#marks, view: this.#view });
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
      beyond: () => this.#beyond.xs,
      marks: () => this.#marks,
      rowAt: (plot, nearest) => this.#rowAt(plot, nearest),
      onCursor: (plot) => this.#onCursor(plot),
      onSelect: (plot) => this.#onSelect(plot),
      onDoubleClick: () => options.onRange(null),
    });
    this.#plot = new uPlot({ ...shownOptions, width, height }, this.#data, this.#plotArea);
    listenToPlot(this.#plot, {
      xAtCursor: () => this.#xAtCursor(),
      onClick: options.onClick,
      onLeave: () => options.onCursor(null),
    });
  }

  #onCursor(plot: uPlot): void {
    this.#row = plot.cursor.idx == null ? null : this.#rowAt(plot, plot.cursor.idx);
    this.#showLegend(this.#row);
    if (this.#isFollowing) return;
    const { left = -1, idx } = plot.cursor;
    const x = left < 0 ? null : this.#row === idx ? plot.posToVal(left, 'x') : this.#xAtCursor();
    this.#isPointed = true;
    this.options.onCursor(x);
    this.#isPointed = false;
  }

  #onSelect(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const range = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')] as const;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.options.onRange(range);
  }

  /**
   * Returns the row of the point under the pointer, so that a spike can be picked even if other rows are nearer in x.
   */
  #rowAt(plot: uPlot, nearest: number): number {
    return this.#isFollowing ? nearest : (nearestPoint(plot, nearest) ?? nearest);
  }

  /** Returns the x value of the row at the cursor. */
  #xAtCursor(): number | null {
    return this.#row === null ? null : (this.#plot?.data[0][this.#row] ?? null);
  }

  /** Handles keys: arrow keys move the cursor by a row, Enter clicks, Escape resets the zoom. */
  #onKey(event: KeyboardEvent): void {
    const plot = this.#plot;
    if (plot === null) return;
    const xs = plot.data[0];
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move !== undefined) {
      const x = xs[Math.min(xs.length - 1, Math.max(0, (this.#row ?? xs.length) + move))];
      if (x === undefined) return;
      this.#follow(plot, { left: plot.valToPos(x, 'x'), top: 0 });
      this.options.onCursor(x);
      event.preventDefault();
    } else if (event.key === 'Enter') {
      const x = this.#xAtCursor();
      if (x !== null) this.options.onClick(x);
    } else if (event.key === 'Escape' && this.#range !== null) {
      this.options.onRange(null);
      event.stopPropagation();
    }
  }

  /** Sets the range of the left axis, and reports the values beyond it. */
  #findOutliers(): void {
    const [xs, ...columns] = this.#data;
    const left = columns.filter((_, index) => !this.#series[index]?.isRight);
    const { startsAtZero = false } = this.options;
    const clipped = this.#view.clips
      ? clippedScale([...xs], left as Values[], this.#range, startsAtZero)
      : null;
    this.#yRange = clipped?.scale ?? null;
    this.#beyond.set(clipped?.far ?? [], clipped?.scale[1] ?? 0);
  }

  /** @param index row of the cursor; null for the last values */
  #entries(index: number | null): LegendEntry[] {
    return this.#recorded.flatMap((recorded) => {
      if (recorded.isQuiet) return [];
      const { label, color, isRight } = recorded;
      const number = this.#series.findIndex((each) => each.label === label && !each.isQuiet);
      const shown = this.#series[number] ?? recorded;
      // In the plot's data, the columns of a stack are cumulative sums.
      const column = shown.isStacked ? shown.y : ((this.#data[number + 1] ?? []) as Values);
      const value = index === null ? shown.y.at(-1) : valueAt(column, index);
      const format = (isRight && this.options.formatRight) || this.options.format;
      const missing = value === null ? (this.options.missing ?? DASH) : DASH;
      if (number < 0) return [{ label, color, value: HIDDEN }];
      return [{ label, color, value: (value == null ? missing : format(value)) + this.#endOf(shown, index) }];
    });
  }

  /** Says where a line ends if that is before the place that the legend shows, as another run may be longer. */
  #endOf({ x, isSparse }: ChartSeries, index: number | null): string {
    const [at, end] = [this.#data[0].at(index ?? -1), x.at(-1)];
    if (isSparse || at === undefined || end == null || end >= at) return '';
    const [place, endPlace] = [at, end].map(this.#axis.place);
    return endPlace === place ? '' : `, ${endPlace}`;
  }

  /** Shows the values at a row, or the last ones, in columns of fixed width, so that nothing moves. */
  #showLegend(index: number | null = null): void {
    const at = index === null ? null : this.#data[0][index];
    const x = at ?? this.#data[0].at(-1);
    const place = x === undefined ? '' : `${at == null ? 'last, ' : ''}${this.#axis.place(x)}`;
    const values = this.#entries(index).map(({ value }) => value);
    this.#legend.show(place, at != null, values);
    if (index === null)
      this.#plotArea.setAttribute('aria-label', `${this.options.title}: ${this.#legend.element.textContent}`);
  }

  #resize(): void {
    const { clientWidth: width, clientHeight: height } = this.#plotArea;
    if (width === 0 || height === 0) return;
    if (this.#plot === null) this.#rebuild();
    else this.#plot.setSize({ width, height });
  }
}
