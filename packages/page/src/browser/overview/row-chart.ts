import { fill, h, icon, paintable } from '../dom.js';
import { cssColor, onTheme } from '../theme.js';
import type { ChartRow } from './chart-row.js';
import { Tip } from './tip.js';

const AXIS = 34;
const TICK_LINE = 10;
/** Room for a tick of the axis in px. */
const TICK_SPACE = 76;
/** A finger taps the same place with this precision. */
const TAP_SLACK_PX = 24;

/** The canvas of the rows, in px. */
export interface RowPlace {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  /** Lower end of the rows; the axis is below. */
  readonly bottom: number;
  readonly tops: readonly number[];
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

export interface RowChartOptions {
  readonly label: string;
  /** Height above the rows, for marks. */
  readonly top: number;
  readonly paint: (place: RowPlace) => void;
  /** A title and lines for a row at a place. */
  readonly describe: (row: ChartRow, x: number) => readonly string[];
  /** Label of the action of a click, shown on touch. */
  readonly action: string;
  readonly onCursor: (x: number | null) => void;
  readonly onPick: (row: ChartRow, x: number) => void;
  readonly onToggle: (key: string) => void;
}

/** Rows of strips over a common axis. A mouse, a finger and the arrow keys move a cursor, whose place is told in words. */
export class RowChart {
  readonly element: HTMLElement;
  readonly #canvas = h('canvas', { 'aria-hidden': 'true' });
  readonly #line = h('div', { class: 'cursor-line' });
  readonly #cell = h('div', { class: 'cursor-cell' });
  readonly #labels = h('div', { class: 'row-labels' });
  readonly #notes = h('div', { class: 'row-notes' });
  readonly #plot: HTMLElement;
  readonly #tip = new Tip();
  readonly #told = h('p', { class: 'unseen', role: 'status' });
  #rows: readonly ChartRow[] = [];
  #axis: RowAxis | null = null;
  #shownLabels = '';
  #cursor: number | null = null;
  /** Position of the keyboard or a finger. */
  #at: { readonly row: number; readonly x: number } | null = null;
  /** Row that a finger tapped last. */
  #tapped: number | null = null;

  constructor(private readonly options: RowChartOptions) {
    this.#plot = h(
      'div',
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
      this.#tip.element,
    );
    this.element = h('div', { class: 'row-chart' }, this.#labels, this.#plot, this.#notes, this.#told);
    this.#canvas.addEventListener('pointermove', (event) => this.#point(event));
    this.#canvas.addEventListener('pointerleave', ({ pointerType }) => {
      if (pointerType !== 'touch') this.#leave();
    });
    this.#canvas.addEventListener('click', (event) => this.#onClick(event));
    this.#plot.addEventListener('keydown', (event) => this.#onKey(event));
    this.#plot.addEventListener('blur', () => this.#leave());
    this.#showCursor();
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    onTheme(() => this.#draw());
  }

  set(rows: readonly ChartRow[], axis: RowAxis): void {
    this.#rows = rows;
    this.#axis = axis;
    this.#canvas.style.height = `${this.#bottom + AXIS}px`;
    this.#showLabels();
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

  /** Labels are elements: they can be read out, and the buttons of groups pressed. */
  #showLabels(): void {
    const shown = JSON.stringify(this.#rows);
    if (shown === this.#shownLabels) return;
    this.#shownLabels = shown;
    const focused =
      document.activeElement instanceof HTMLElement ? document.activeElement.dataset.group : undefined;
    const cells = this.#rows.map((row) => [this.#labelOf(row), noteOf(row)] as const);
    for (const column of [this.#labels, this.#notes]) column.style.paddingTop = `${this.options.top}px`;
    fill(this.#labels, ...cells.map(([label]) => label));
    fill(this.#notes, ...cells.map(([, note]) => note));
    if (focused !== undefined)
      this.#labels.querySelector<HTMLElement>(`[data-group="${CSS.escape(focused)}"]`)?.focus();
  }

  #labelOf({ key, label, detail, height, isBlamed, isOpen }: ChartRow): HTMLElement {
    const cell = h('div', { class: isBlamed ? 'is-blamed' : '' });
    cell.style.height = `${height}px`;
    const text = [label, detail !== undefined && h('small', {}, ` ${detail}`)];
    if (isOpen === undefined) cell.append(h('span', {}, ...text));
    else
      cell.append(
        h(
          'button',
          {
            type: 'button',
            class: 'bare group',
            'data-group': key,
            'aria-expanded': String(isOpen),
            on: { click: () => this.options.onToggle(key) },
          },
          icon(isOpen ? 'down' : 'right'),
          h('span', {}, ...text),
        ),
      );
    return cell;
  }

  #draw(): void {
    const [paint, axis] = [paintable(this.#canvas), this.#axis];
    if (paint === null || axis === null) return;
    const { context, width } = paint;
    const [first, last] = axis.range;
    const x = (value: number) => ((value - first) / (last - first)) * width;
    const clip = (px: number) => Math.max(0, Math.min(width, px));
    context.font = `11px ${cssColor('--font')}`;
    context.textBaseline = 'middle';
    this.options.paint({ context, width, bottom: this.#bottom, tops: this.#tops, x, clip });
    this.#drawAxis(context, axis, width, x);
    this.#showCursor();
  }

  /** Elements above the canvas, which need no painting as the mouse moves. */
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

  #drawAxis(
    context: CanvasRenderingContext2D,
    axis: RowAxis,
    width: number,
    x: (value: number) => number,
  ): void {
    context.fillStyle = cssColor('--text-dim');
    const y = this.#bottom + TICK_LINE;
    for (const value of axis.ticks(Math.max(1, Math.floor(width / TICK_SPACE)))) {
      const text = axis.tick(value);
      const half = context.measureText(text).width / 2;
      const center = Math.max(half, Math.min(width - half, x(value)));
      context.fillText(text, center - half, y);
    }
    const half = context.measureText(axis.name).width / 2;
    context.fillText(axis.name, width / 2 - half, y + 15);
  }

  #placeOf({ clientX, clientY }: MouseEvent): { readonly row: number; readonly x: number } {
    const box = this.#canvas.getBoundingClientRect();
    const [first, last] = this.#axis?.range ?? [0, 1];
    const row = this.#tops.findLastIndex((top) => top <= clientY - box.top);
    const x = first + ((clientX - box.left) / box.width) * (last - first);
    return { row: Math.max(0, Math.min(this.#rows.length - 1, row)), x: Math.max(first, Math.min(last, x)) };
  }

  #point(event: PointerEvent): void {
    const place = this.#placeOf(event);
    if (event.pointerType === 'touch') this.#at = place;
    this.options.onCursor(place.x);
    this.#showTip(place, event.pointerType === 'touch' ? [`tap again: ${this.options.action}`] : []);
  }

  #showTip({ row, x }: { readonly row: number; readonly x: number }, more: readonly string[] = []): void {
    const shown = this.#rows[row];
    if (shown === undefined) return;
    const lines = [...this.options.describe(shown, x), ...more];
    const bottom = (this.#tops[row] ?? 0) + shown.height + 6;
    this.#tip.show(lines, this.#pxOf(x), bottom, this.#canvas.clientWidth);
  }

  #leave(): void {
    this.#tip.hide();
    this.#at = null;
    this.options.onCursor(null);
    this.#showCursor();
  }

  /** A first tap shows what is there; a second one on the same place picks it, as a click does. */
  #onClick(event: MouseEvent): void {
    const place = this.#placeOf(event);
    const row = this.#rows[place.row];
    if (row === undefined) return;
    const isTouch = event instanceof PointerEvent && event.pointerType === 'touch';
    const before = this.#tapped;
    this.#tapped = isTouch ? event.clientX : null;
    if (isTouch && (before === null || Math.abs(before - event.clientX) > TAP_SLACK_PX)) {
      this.#at = place;
      this.options.onCursor(place.x);
      this.#showTip(place, [`tap again: ${this.options.action}`]);
      return;
    }
    this.options.onPick(row, place.x);
  }

  #onKey(event: KeyboardEvent): void {
    const axis = this.#axis;
    if (axis === null || this.#rows.length === 0) return;
    const [first, last] = axis.range;
    const { row, x } = this.#at ?? { row: 0, x: last };
    const limitX = (value: number) => Math.max(first, Math.min(last, value));
    const limitRow = (value: number) => Math.max(0, Math.min(this.#rows.length - 1, value));
    const places: Readonly<Record<string, () => { readonly row: number; readonly x: number }>> = {
      ArrowLeft: () => ({ row, x: limitX(axis.next(x, -1)) }),
      ArrowRight: () => ({ row, x: limitX(axis.next(x, 1)) }),
      ArrowUp: () => ({ row: limitRow(row - 1), x }),
      ArrowDown: () => ({ row: limitRow(this.#at === null ? 0 : row + 1), x }),
      Home: () => ({ row, x: first }),
      End: () => ({ row, x: last }),
    };
    if (event.key === 'Escape' && this.#at !== null) this.#leave();
    else if (event.key === 'Enter') this.options.onPick(this.#rows[row]!, x);
    else if (places[event.key] !== undefined) {
      this.#at = places[event.key]!();
      this.options.onCursor(this.#at.x);
      this.#showTip(this.#at);
      this.#told.textContent = this.options.describe(this.#rows[this.#at.row]!, this.#at.x).join(', ');
      this.#showCursor();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function noteOf({ note = '', height, isBlamed }: ChartRow): HTMLElement {
  const cell = h('div', { class: isBlamed ? 'is-blamed' : '' }, note);
  cell.style.height = `${height}px`;
  return cell;
}

export function verticalLine(
  context: CanvasRenderingContext2D,
  x: number,
  top: number,
  bottom: number,
  color: string,
  dash: readonly number[] = [],
): void {
  context.strokeStyle = cssColor(color);
  context.setLineDash([...dash]);
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, top);
  context.lineTo(Math.round(x) + 0.5, bottom);
  context.stroke();
  context.setLineDash([]);
}
