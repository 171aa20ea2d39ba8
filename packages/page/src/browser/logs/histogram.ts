import { paintable } from '../canvas.js';
import { fill, h, swatch } from '../dom.js';
import { formatClock, formatCount, timeZone } from '../format.js';
import { LEVELS, type Level, levelOf, levelVariable } from '../levels.js';
import { cssColor, onTheme } from '../theme.js';
import { roundTicks } from '../ticks.js';
import type { LogVolume } from './log-requests.js';

const AXIS = 16;
/** Height above the tallest bar for the label with its count, in px. */
const TOP = 17;
const DRAG_SLACK_PX = 4;
/** Stacked from the bottom in this order: the most severe on top. */
const STACK: readonly Level[] = [...LEVELS].reverse();

interface Bucket {
  readonly start: number;
  readonly counts: ReadonlyMap<Level, number>;
}

/** Log volume over time, stacked by level. The legend filters by level; dragging selects a time range. */
export class Histogram {
  readonly #canvas = h.canvas({ role: 'img', 'aria-label': 'log volume over time by level' });
  readonly #legend = h.div({ class: 'legend', role: 'group', 'aria-label': 'levels' });
  readonly #selection = h.div({ class: 'selection', hidden: true });
  readonly #tip = h.div({ class: 'tip', hidden: true });
  readonly element = h.section(
    { class: 'histogram', 'aria-label': 'Log volume' },
    h.div({ class: 'histogram-area' }, this.#canvas, this.#selection, this.#tip),
    this.#legend,
  );
  #buckets: readonly Bucket[] = [];
  #range: readonly [number, number] = [0, 1];
  #stepMs = 1_000;
  #chosen: ReadonlySet<Level> = new Set();
  /** The store's names of each level. */
  #names = new Map<Level, Set<string>>();

  /**
   * @param onLevel called with the store's names of the level clicked; `adds` if Shift was held
   * @param onRange called with the range dragged over, in ms since 1970
   */
  constructor(
    private readonly onLevel: (names: readonly string[], adds: boolean) => void,
    private readonly onRange: (range: readonly [number, number]) => void,
  ) {
    this.#canvas.addEventListener('pointerdown', (event) => this.#drag(event));
    this.#canvas.addEventListener('pointermove', (event) => this.#showTip(event));
    this.#canvas.addEventListener('pointerleave', () => {
      this.#tip.hidden = true;
    });
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
    onTheme(() => this.#draw());
  }

  /** @param selected levels in the query's selector; empty for all */
  set({ series, range, stepMs }: LogVolume, selected: readonly string[]): void {
    this.#range = range;
    this.#stepMs = stepMs;
    const buckets = new Map<number, Map<Level, number>>();
    const totals = new Map<Level, number>();
    for (const { metric, values } of series) {
      const level = levelOf(metric.level);
      if (!this.#names.has(level)) this.#names.set(level, new Set());
      if (metric.level) this.#names.get(level)?.add(metric.level);
      for (const [seconds, text] of values) {
        const start = 1e3 * seconds - stepMs;
        const counts = buckets.get(start) ?? new Map<Level, number>();
        counts.set(level, (counts.get(level) ?? 0) + Number(text));
        buckets.set(start, counts);
        totals.set(level, (totals.get(level) ?? 0) + Number(text));
      }
    }
    this.#buckets = [...buckets].map(([start, counts]) => ({ start, counts }));
    this.#chosen = new Set(selected.map(levelOf));
    this.#showLegend(totals);
    this.#draw();
  }

  #showLegend(totals: ReadonlyMap<Level, number>): void {
    const chosen = this.#chosen;
    const shown = LEVELS.filter((level) => totals.has(level) || chosen.has(level));
    const entries = shown.map((level) => {
      const names = [...(this.#names.get(level) ?? [level])];
      const props = {
        type: 'button',
        class: 'level',
        'data-level': level,
        'aria-pressed': String(chosen.has(level)),
        title: `only ${level}; with Shift also ${level}; again for all`,
        on: { click: (event: Event) => this.onLevel(names, event instanceof MouseEvent && event.shiftKey) },
      };
      const count = h.b(formatCount(totals.get(level) ?? 0));
      return h.button(props, swatch(`var(${levelVariable(level)})`), level, count);
    });
    fill(this.#legend, ...entries);
  }

  #x(time: number, width: number): number {
    const [start, end] = this.#range;
    return ((time - start) / (end - start)) * width;
  }

  #draw(): void {
    const paint = paintable(this.#canvas);
    if (paint === null) return;
    const { context, width, height } = paint;
    const floor = height - AXIS;
    const most = Math.max(1, ...this.#buckets.map(({ counts }) => sum(counts)));
    for (const { start, counts } of this.#buckets) {
      const [left, right] = [this.#x(start, width), this.#x(start + this.#stepMs, width)];
      let bottom = floor;
      for (const level of STACK) {
        const count = counts.get(level) ?? 0;
        if (count === 0) continue;
        // A bar has at least 2 px, so that a rare level stays visible.
        const barHeight = Math.max(2, (count / most) * (floor - TOP));
        context.globalAlpha = this.#chosen.size === 0 || this.#chosen.has(level) ? 1 : 0.2;
        context.fillStyle = cssColor(levelVariable(level));
        context.fillRect(left, Math.max(0, bottom - barHeight), Math.max(1, right - left - 1), barHeight);
        bottom -= barHeight;
      }
    }
    context.globalAlpha = 1;
    context.fillStyle = cssColor('--grid');
    context.fillRect(0, floor, width, 1);
    this.#drawAxis(context, width, height - AXIS / 2 + 1);
    if (this.#buckets.length === 0) return;
    context.textAlign = 'left';
    context.fillText(`tallest bar: ${most === 1 ? '1 line' : `${formatCount(most)} lines`}`, 2, 7);
  }

  #drawAxis(context: CanvasRenderingContext2D, width: number, y: number): void {
    context.font = `11px ${cssColor('--font')}`;
    context.textBaseline = 'middle';
    context.fillStyle = cssColor('--text-dim');
    const [start, end] = this.#range;
    context.textAlign = 'center';
    // Ticks at whole hours of local time: some zones are off by half an hour.
    const zero = new Date(start).getTimezoneOffset() * 60_000;
    for (const time of roundTicks(start, end, width / 110, zero)) {
      const x = this.#x(time, width);
      if (x > 24 && x < width - 24) context.fillText(formatClock(time, end - start < 5_000), x, y);
    }
  }

  #drag(down: PointerEvent): void {
    const box = this.#canvas.getBoundingClientRect();
    const from = down.clientX - box.left;
    this.#canvas.setPointerCapture(down.pointerId);
    const move = (event: PointerEvent) => {
      const to = event.clientX - box.left;
      this.#selection.hidden = Math.abs(to - from) < DRAG_SLACK_PX;
      this.#selection.style.left = `${Math.min(from, to)}px`;
      this.#selection.style.width = `${Math.abs(to - from)}px`;
    };
    const up = (event: PointerEvent) => {
      this.#canvas.removeEventListener('pointermove', move);
      this.#selection.hidden = true;
      const to = Math.max(0, Math.min(box.width, event.clientX - box.left));
      if (Math.abs(to - from) < DRAG_SLACK_PX) return;
      const timeAt = (x: number) => this.#range[0] + (x / box.width) * (this.#range[1] - this.#range[0]);
      this.onRange([timeAt(Math.min(from, to)), timeAt(Math.max(from, to))]);
    };
    this.#canvas.addEventListener('pointermove', move);
    this.#canvas.addEventListener('pointerup', up, { once: true });
  }

  #showTip(event: PointerEvent): void {
    const box = this.#canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const bucket = this.#buckets.find(
      ({ start }) => this.#x(start, box.width) <= x && x < this.#x(start + this.#stepMs, box.width),
    );
    this.#tip.hidden = bucket === undefined;
    if (bucket === undefined) return;
    const counts = LEVELS.filter((level) => bucket.counts.has(level)).map((level) =>
      h.span({ class: `tip-${level}` }, `${level} ${formatCount(bucket.counts.get(level))}`),
    );
    fill(this.#tip, h.b(`${formatClock(bucket.start, false)} ${timeZone(bucket.start)}`), ...counts);
    this.#tip.style.left = `${Math.min(x + 12, box.width - 190)}px`;
  }
}

function sum(counts: ReadonlyMap<Level, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}
