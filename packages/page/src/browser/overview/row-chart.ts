import { paintable } from '../canvas.js';
import { fill, h, icon, refill } from '../dom.js';
import { cssColor, onTheme } from '../theme.js';
import type { ChartRow } from './chart-row.js';

const AXIS = 34;
const TICK_LINE = 10;
/** Room for a tick of the axis in px. */
const TICK_SPACE = 76;
const TIP_GAP = 12;
/** Taps within this distance are on the same place. */
const TAP_SLACK_PX = 24;

/** The canvas of the rows, in px. */
export interface RowPlace<Row> {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  /** Lower end of the rows; the axis is below. */
  readonly bottom: number;
  readonly rows: readonly { readonly row: Row; readonly top: number }[];
  readonly x: (value: number) => number;
  /** Keeps a place within the canvas. */
  readonly clip: (px: number) => number;
}

export interface RowAxis {
  readonly name: string;
  readonly range: readonly [number, number];
  readonly ticks: (maxTicks: number) => readonly number[];
  readonly tick: (value: number) => string;
  /** The place of the keyboard's cursor that follows `value`; `by` is 1 or -1. */
  readonly next: (value: number, by: number) => number;
}

export interface RowChartOptions<Row> {
  readonly label: string;
  /** Height above the rows, for marks. */
  readonly top: number;
  readonly paint: (place: RowPlace<Row>) => void;
  /** A title and lines for a row at a place. */
  readonly describe: (row: Row, x: number) => readonly string[];
  /** Label of the action of a click, shown on touch. */
  readonly action: string;
  readonly onCursor: (x: number | null) => void;
  readonly onPick: (row: Row, x: number) => void;
  readonly onToggle: (key: string) => void;
}

interface Place {
  readonly row: number;
  readonly x: number;
}

const limited = (value: number, least: number, most: number) => Math.max(least, Math.min(most, value));

/**
 * Rows of strips over a common axis. Mouse, finger or arrow keys move a cursor; a tooltip describes its
 * place.
 */
export class RowChart<Row extends ChartRow> {
  readonly element: HTMLElement;
  readonly #canvas = h.canvas({ 'aria-hidden': 'true' });
  readonly #line = h.div({ class: 'cursor-line' });
  readonly #cell = h.div({ class: 'cursor-cell' });
  readonly #labels = h.div({ class: 'row-labels' });
  readonly #notes = h.div({ class: 'row-notes' });
  readonly #tip = h.div({ class: 'tip', hidden: true });
  readonly #told = h.p({ class: 'unseen', role: 'status' });
  #rows: readonly Row[] = [];
  #axis: RowAxis | null = null;
  #cursor: number | null = null;
  /** Position of the keyboard or a finger. */
  #at: Place | null = null;
  /** Where a finger tapped last. */
  #tapped: number | null = null;

  constructor(private readonly options: RowChartOptions<Row>) {
    const plot = h.div(
      {
        class: 'row-plot',
        tabindex: '0',
        role: 'application',
        'aria-roledescription': 'chart of rows',
        'aria-label': `${options.label}: arrow keys move, Enter ${options.action}`,
      },
      this.#canvas,
      this.#line,
      this.#cell,
      this.#tip,
    );
    this.element = h.div({ class: 'row-chart' }, this.#labels, plot, this.#notes, this.#told);
    this.#canvas.addEventListener('pointermove', (event) => this.#point(event));
    this.#canvas.addEventListener('pointerleave', ({ pointerType }) => {
      if (pointerType !== 'touch') this.#leave();
    });
    this.#canvas.addEventListener('click', (event) => this.#onClick(event));
    plot.addEventListener('keydown', (event) => this.#onKey(event));
    plot.addEventListener('blur', () => this.#leave());
    for (const column of [this.#labels, this.#notes]) column.style.paddingTop = `${options.top}px`;
    this.#showCursor();
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    onTheme(() => this.#draw());
  }

  set(rows: readonly Row[], axis: RowAxis): void {
    this.#rows = rows;
    this.#axis = axis;
    this.#canvas.style.height = `${this.#bottom + AXIS}px`;
    // Labels are elements, so that they can be read out and the buttons of groups can be pressed.
    const labels = rows.map((row): ChartRow => {
      const { key, label, detail = '', note = '', height, isBlamed = false, isOpen } = row;
      return { key, label, detail, note, height, isBlamed, ...(isOpen === undefined ? {} : { isOpen }) };
    });
    refill(this.#labels, labels, () => rows.map((row) => this.#labelOf(row)));
    refill(this.#notes, labels, () => rows.map((row) => cellOf(row, row.note ?? '')));
    this.#draw();
  }

  /** Moves the line of the cursor to where another chart has it. */
  setCursor(x: number | null): void {
    this.#cursor = x;
    this.#showCursor();
  }

  get #tops(): number[] {
    let top = this.options.top;
    return this.#rows.map(({ height }) => {
      top += height;
      return top - height;
    });
  }

  get #bottom(): number {
    return this.options.top + this.#rows.reduce((sum, { height }) => sum + height, 0);
  }

  #labelOf(row: Row): HTMLElement {
    const { key, label, detail, isOpen } = row;
    const text = h.span(label, detail !== undefined && h.small(` ${detail}`));
    if (isOpen === undefined) return cellOf(row, text);
    const props = {
      type: 'button',
      class: 'bare group',
      'data-group': key,
      'aria-expanded': String(isOpen),
      on: { click: () => this.options.onToggle(key) },
    };
    return cellOf(row, h.button(props, icon(isOpen ? 'down' : 'right'), text));
  }

  #draw(): void {
    const [paint, axis] = [paintable(this.#canvas), this.#axis];
    if (paint === null || axis === null) return;
    const { context, width } = paint;
    const [bottom, tops] = [this.#bottom, this.#tops];
    const rows = this.#rows.map((row, index) => ({ row, top: tops[index]! }));
    const clip = (px: number) => limited(px, 0, width);
    context.font = `11px ${cssColor('--font')}`;
    context.textBaseline = 'middle';
    this.options.paint({ context, width, bottom, rows, x: (value) => this.#pxOf(value), clip });
    context.fillStyle = cssColor('--text-dim');
    for (const value of axis.ticks(Math.max(1, Math.floor(width / TICK_SPACE)))) {
      const text = axis.tick(value);
      const half = context.measureText(text).width / 2;
      const center = Math.max(half, Math.min(width - half, this.#pxOf(value)));
      context.fillText(text, center - half, bottom + TICK_LINE);
    }
    const half = context.measureText(axis.name).width / 2;
    context.fillText(axis.name, width / 2 - half, bottom + TICK_LINE + 15);
    this.#showCursor();
  }

  /** Shows the cursor, an element above the canvas, which need not be painted again as the mouse moves. */
  #showCursor(): void {
    const px = this.#cursor === null ? Number.NaN : this.#pxOf(this.#cursor);
    this.#line.hidden = !(px >= 0 && px <= this.#canvas.clientWidth);
    this.#line.style.left = `${px}px`;
    this.#line.style.top = `${this.options.top}px`;
    this.#line.style.height = `${this.#bottom - this.options.top}px`;
    this.#cell.hidden = this.#at === null;
    if (this.#at === null) return;
    this.#cell.style.left = `${this.#pxOf(this.#at.x) - 5}px`;
    this.#cell.style.top = `${this.#tops[this.#at.row] ?? 0}px`;
    this.#cell.style.height = `${this.#rows[this.#at.row]?.height ?? 0}px`;
  }

  #pxOf(x: number): number {
    const [first, last] = this.#axis?.range ?? [0, 1];
    return ((x - first) / (last - first)) * this.#canvas.clientWidth;
  }

  #placeOf({ clientX, clientY }: MouseEvent): Place {
    const box = this.#canvas.getBoundingClientRect();
    const [first, last] = this.#axis?.range ?? [0, 1];
    const row = this.#tops.findLastIndex((top) => top <= clientY - box.top);
    const x = first + ((clientX - box.left) / box.width) * (last - first);
    return { row: limited(row, 0, this.#rows.length - 1), x: limited(x, first, last) };
  }

  #point(event: PointerEvent): void {
    const place = this.#placeOf(event);
    if (event.pointerType === 'touch') this.#touch(place);
    else this.#showTip(place);
  }

  #touch(place: Place): void {
    this.#at = place;
    this.#showTip(place, `tap again: ${this.options.action}`);
  }

  /** Moves the cursor of all charts, and describes what is there. */
  #showTip({ row, x }: Place, ...more: readonly string[]): void {
    this.options.onCursor(x);
    const shown = this.#rows[row];
    if (shown === undefined) return;
    const [title, ...lines] = [...this.options.describe(shown, x), ...more];
    fill(this.#tip, h.b(title), ...lines.map((line) => h.span(line)));
    this.#tip.hidden = false;
    const [left, { offsetWidth }] = [this.#pxOf(x), this.#tip];
    const isRoomRight = left + TIP_GAP + offsetWidth <= this.#canvas.clientWidth;
    this.#tip.style.left = `${isRoomRight ? left + TIP_GAP : Math.max(0, left - TIP_GAP - offsetWidth)}px`;
    this.#tip.style.top = `${(this.#tops[row] ?? 0) + shown.height + 6}px`;
  }

  #leave(): void {
    this.#tip.hidden = true;
    this.#at = null;
    this.options.onCursor(null);
    this.#showCursor();
  }

  /** Handles clicks. A first tap shows what is there; a second one on the same place picks it, as a click does. */
  #onClick(event: MouseEvent): void {
    const place = this.#placeOf(event);
    const row = this.#rows[place.row];
    if (row === undefined) return;
    const isTouch = event instanceof PointerEvent && event.pointerType === 'touch';
    const before = this.#tapped ?? Number.NEGATIVE_INFINITY;
    this.#tapped = isTouch ? event.clientX : null;
    if (isTouch && Math.abs(before - event.clientX) > TAP_SLACK_PX) this.#touch(place);
    else this.options.onPick(row, place.x);
  }

  #onKey(event: KeyboardEvent): void {
    const axis = this.#axis;
    if (axis === null || this.#rows.length === 0) return;
    const [first, last] = axis.range;
    const { row, x } = this.#at ?? { row: 0, x: last };
    const inRow = (value: number) => ({ row: limited(value, 0, this.#rows.length - 1), x });
    const places: Readonly<Record<string, Place>> = {
      ArrowLeft: { row, x: limited(axis.next(x, -1), first, last) },
      ArrowRight: { row, x: limited(axis.next(x, 1), first, last) },
      ArrowUp: inRow(row - 1),
      ArrowDown: inRow(this.#at === null ? 0 : row + 1),
      Home: { row, x: first },
      End: { row, x: last },
    };
    const place = places[event.key];
    if (event.key === 'Escape' && this.#at !== null) this.#leave();
    else if (event.key === 'Enter') this.options.onPick(this.#rows[row]!, x);
    else if (place !== undefined) {
      this.#at = place;
      this.#showTip(place);
      this.#told.textContent = this.options.describe(this.#rows[place.row]!, place.x).join(', ');
      this.#showCursor();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function cellOf({ height, isBlamed }: ChartRow, content: Node | string): HTMLElement {
  return h.div({ class: isBlamed ? 'is-blamed' : '', style: { height: `${height}px` } }, content);
}

export function verticalLine(
  context: CanvasRenderingContext2D,
  x: number,
  [top, bottom]: readonly [number, number],
  color: string,
): void {
  context.fillStyle = cssColor(color);
  context.fillRect(Math.round(x), top, 1, bottom - top);
}
