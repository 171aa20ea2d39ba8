import type { TimelineSpan } from '@locmoe/run-format/timeline-data';
import type { TimelineReply } from '../../api-types.js';
import { paintable } from '../canvas.js';
import { fill, h } from '../dom.js';
import { onTheme } from '../theme.js';
import { AXIS, boxOf, draw, GUTTER, plotWidth, type Scene } from './draw.js';
import { type Layout, laneOf, layoutOf, spanAt } from './layout.js';
import { spanDetails } from './span-details.js';
import { isPhase, nameOf } from './span-style.js';
import { showing, type TimeWindow, within, zoomed } from './time-window.js';

const ZOOM_STEP = 1.4;
const PAN_SHARE = 0.2;
/** A mouse movement shorter than this is a click. */
const CLICK_SLACK_PX = 4;
const TIP_GAP_PX = 12;

/**
 * The lanes of a timeline, drawn on a canvas with its own scrolling; mouse and keyboard move, zoom and
 * inspect it.
 */
export class TimelineCanvas {
  readonly #canvas = h.canvas({ class: 'timeline-canvas', 'aria-hidden': 'true' });
  readonly #space = h.div({ class: 'timeline-space' });
  readonly #lanes = h.div(
    {
      class: 'timeline-lanes',
      tabindex: '0',
      role: 'application',
      'aria-label': 'timeline: arrow keys move from span to span, plus and minus zoom, a and d move in time',
    },
    this.#canvas,
    this.#space,
  );
  readonly #tip = h.div({ class: 'timeline-tip', role: 'status', hidden: true });
  readonly element = h.div({ class: 'timeline-body' }, this.#lanes, this.#tip);
  #reply: TimelineReply | null = null;
  #layout: Layout = { lanes: [], nodes: [], height: 0 };
  #isCompact = false;
  #all: TimeWindow = { from: 0, to: 1 };
  #window: TimeWindow = { from: 0, to: 1 };
  #chosen: TimelineSpan | null = null;
  /** Start of a drag, and the window that was shown then. */
  #drag: {
    readonly x: number;
    readonly y: number;
    readonly window: TimeWindow;
    readonly top: number;
  } | null = null;

  constructor() {
    this.#lanes.addEventListener('scroll', () => this.draw());
    this.#lanes.addEventListener('wheel', (event) => this.#onWheel(event), { passive: false });
    this.#lanes.addEventListener('keydown', (event) => this.#onKey(event));
    this.#lanes.addEventListener('blur', () => this.#showTip(null));
    this.#canvas.addEventListener('pointerdown', (event) => this.#onDown(event));
    this.#canvas.addEventListener('pointermove', (event) => this.#onMove(event));
    this.#canvas.addEventListener('pointerup', (event) => this.#onUp(event));
    this.#canvas.addEventListener('pointerleave', () => this.#showTip(null));
    this.#canvas.addEventListener('dblclick', (event) => this.#zoomTo(this.#spanAt(event)));
    new ResizeObserver(() => this.draw()).observe(this.#lanes);
    onTheme(() => this.draw());
  }

  get isCompact(): boolean {
    return this.#isCompact;
  }

  set(reply: TimelineReply, isCompact: boolean): void {
    const spans = reply.lanes.flatMap((lane) => [...lane.spans, ...lane.inFlight]);
    this.#reply = reply;
    this.#all = {
      from: Math.min(0, ...spans.map(({ startMs }) => startMs)),
      to: Math.max(reply.endMs, ...spans.map(({ endMs }) => endMs), ...reply.fallen.map(({ ms }) => ms)),
    };
    this.#chosen = null;
    this.setCompact(isCompact);
    this.fit();
  }

  setCompact(isCompact: boolean): void {
    this.#isCompact = isCompact;
    this.#layout = layoutOf(this.#reply?.lanes ?? [], this.#reply?.endMs ?? 0, isCompact);
    if (this.#chosen !== null && laneOf(this.#layout, this.#chosen) === null) this.#chosen = null;
    this.#showTip(null);
    this.draw();
  }

  fit(): void {
    const { endMs = 1 } = this.#reply ?? {};
    this.#show({ from: -0.01 * endMs, to: 1.01 * endMs });
  }

  focus(): void {
    this.#lanes.focus({ preventScroll: true });
  }

  draw(): void {
    const { clientHeight } = this.#lanes;
    this.#canvas.style.height = `${clientHeight}px`;
    this.#space.style.height = `${Math.max(0, this.#layout.height + AXIS - clientHeight)}px`;
    const paint = paintable(this.#canvas);
    if (paint !== null) draw(paint.context, this.#scene);
  }

  /** Range that may be shown: all spans, and a little around them. */
  get #bounds(): TimeWindow {
    const margin = 0.02 * (this.#all.to - this.#all.from);
    return { from: this.#all.from - margin, to: this.#all.to + margin };
  }

  get #scene(): Scene {
    return {
      layout: this.#layout,
      window: this.#window,
      stepEndMs: this.#reply?.endMs ?? 1,
      fallen: this.#reply?.fallen ?? [],
      scrollTop: this.#lanes.scrollTop,
      width: this.#canvas.clientWidth,
      height: this.#canvas.clientHeight,
      chosen: this.#chosen,
    };
  }

  get #msPerPx(): number {
    return (this.#window.to - this.#window.from) / plotWidth(this.#canvas.clientWidth);
  }

  #timeAt(event: MouseEvent): number {
    const { left } = this.#canvas.getBoundingClientRect();
    return this.#window.from + (event.clientX - left - GUTTER) * this.#msPerPx;
  }

  #spanAt(event: MouseEvent): TimelineSpan | null {
    const { top, left } = this.#canvas.getBoundingClientRect();
    if (event.clientX - left < GUTTER || event.clientY - top < AXIS) return null;
    const y = event.clientY - top - AXIS + this.#lanes.scrollTop;
    return spanAt(this.#layout, y, this.#timeAt(event), this.#msPerPx)?.span ?? null;
  }

  #show(window: TimeWindow): void {
    this.#window = within(window, this.#bounds);
    this.draw();
  }

  #zoom(factor: number, aboutMs: number): void {
    this.#show(zoomed(this.#window, aboutMs, factor, this.#bounds));
  }

  #pan(share: number): void {
    const by = share * (this.#window.to - this.#window.from);
    this.#show({ from: this.#window.from + by, to: this.#window.to + by });
  }

  #zoomTo(span: TimelineSpan | null): void {
    const margin = span === null ? 0 : 0.1 * (span.endMs - span.startMs);
    if (span === null) this.fit();
    else this.#show({ from: span.startMs - margin, to: span.endMs + margin });
  }

  /** Handles the wheel, which scrolls the lanes; with Ctrl it zooms, with Shift or sideways it moves in time. */
  #onWheel(event: WheelEvent): void {
    const { ctrlKey, metaKey, shiftKey, deltaX, deltaY } = event;
    const sideways = shiftKey && deltaX === 0 ? deltaY : deltaX;
    if (ctrlKey || metaKey) this.#zoom(Math.exp(deltaY / 300), this.#timeAt(event));
    else if (sideways !== 0) this.#pan(sideways / plotWidth(this.#canvas.clientWidth));
    else return;
    event.preventDefault();
    this.#showTip(null);
  }

  #onDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    const { clientX: x, clientY: y } = event;
    this.#drag = { x, y, window: this.#window, top: this.#lanes.scrollTop };
  }

  #onMove(event: PointerEvent): void {
    const drag = this.#drag;
    if (drag === null) {
      this.#showTip(this.#spanAt(event), event.clientX, event.clientY);
      return;
    }
    const by = (event.clientX - drag.x) * this.#msPerPx;
    this.#lanes.scrollTop = drag.top - (event.clientY - drag.y);
    this.#show({ from: drag.window.from - by, to: drag.window.to - by });
    this.#showTip(null);
  }

  #onUp(event: PointerEvent): void {
    const drag = this.#drag;
    this.#drag = null;
    if (drag === null || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > CLICK_SLACK_PX) return;
    this.#chosen = this.#spanAt(event);
    this.draw();
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { from, to } = this.#window;
    const { startMs, endMs } = this.#chosen ?? { startMs: from, endMs: to };
    const zoom = (factor: number) => () => this.#zoom(factor, (startMs + endMs) / 2);
    const actions: Readonly<Record<string, () => void>> = {
      '+': zoom(1 / ZOOM_STEP),
      '=': zoom(1 / ZOOM_STEP),
      w: zoom(1 / ZOOM_STEP),
      '-': zoom(ZOOM_STEP),
      s: zoom(ZOOM_STEP),
      a: () => this.#pan(-PAN_SHARE),
      d: () => this.#pan(PAN_SHARE),
      f: () => this.fit(),
      Home: () => this.fit(),
      Enter: () => this.#zoomTo(this.#chosen),
      g: () => this.#choose(this.#waitedFor()),
      ArrowLeft: () => this.#choose(this.#neighbour(-1)),
      ArrowRight: () => this.#choose(this.#neighbour(1)),
      ArrowUp: () => this.#choose(this.#inLane(-1)),
      ArrowDown: () => this.#choose(this.#inLane(1)),
      Escape: () => this.#choose(null),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    action();
    if (this.#chosen !== null) this.#showTipAtChosen();
  }

  #choose(span: TimelineSpan | null): void {
    this.#chosen = span;
    if (span === null) this.#showTip(null);
    else {
      this.#window = showing(this.#window, span.startMs, span.endMs, this.#bounds);
      const lane = laneOf(this.#layout, span)!;
      const bottom = lane.top + lane.height + AXIS - this.#lanes.clientHeight;
      this.#lanes.scrollTop = Math.min(Math.max(this.#lanes.scrollTop, bottom), lane.top);
    }
    this.draw();
  }

  /** Returns the previous or next span in the lane of the chosen one; if none is chosen, the first one shown. */
  #neighbour(by: number): TimelineSpan | null {
    const chosen = this.#chosen;
    if (chosen === null) return this.#nearest(0, this.#window.from);
    const spans = laneOf(this.#layout, chosen)?.spans.map(({ span }) => span) ?? [];
    return spans[spans.indexOf(chosen) + by] ?? chosen;
  }

  /** Returns the same operation in the lane above or below, or another span there at that time. */
  #inLane(by: number): TimelineSpan | null {
    const chosen = this.#chosen;
    if (chosen === null) return this.#nearest(0, this.#window.from);
    const lane = laneOf(this.#layout, chosen)!;
    const other = this.#layout.lanes[this.#layout.lanes.indexOf(lane) + by];
    if (other === undefined) return chosen;
    const same = other.spans.find(({ span }) => {
      const { kind, name, layer, operation } = span;
      if (operation !== null) return operation.sequence === chosen.operation?.sequence;
      const overlaps = span.startMs <= chosen.endMs && span.endMs >= chosen.startMs;
      return kind === chosen.kind && name === chosen.name && layer === chosen.layer && overlaps;
    });
    return same?.span ?? this.#nearest(this.#layout.lanes.indexOf(other), chosen.startMs);
  }

  #nearest(lane: number, timeMs: number): TimelineSpan | null {
    const spans = (this.#layout.lanes[lane]?.spans ?? []).map(({ span }) => span);
    return spans.find((span) => !isPhase(span) && span.endMs > timeMs) ?? spans[0] ?? null;
  }

  /** Returns the operation on the rank that the chosen one waited for. */
  #waitedFor(): TimelineSpan | null {
    const operation = this.#chosen?.operation;
    const rank = operation?.wait?.rank ?? null;
    const lane = this.#layout.lanes.find((each) => each.lane.rank === rank);
    const same = lane?.spans.find(({ span }) => span.operation?.sequence === operation!.sequence);
    return same?.span ?? this.#chosen;
  }

  #showTipAtChosen(): void {
    const box = boxOf(this.#scene, this.#chosen!);
    const { left, top } = this.#canvas.getBoundingClientRect();
    if (box === null) return;
    const seen = Math.max(GUTTER, box.left) + Math.min(box.width, 80) / 2;
    this.#showTip(this.#chosen, left + seen, top + box.top + box.height);
  }

  /** Shows what a span is, beside a position of the window; null for none. */
  #showTip(span: TimelineSpan | null, x = 0, y = 0): void {
    this.#tip.hidden = span === null;
    if (span === null) return;
    const { lane, spans } = laneOf(this.#layout, span)!;
    const { isInFlight } = spans.find((each) => each.span === span)!;
    fill(this.#tip, ...spanDetails(span, lane.rank, isInFlight));
    this.#tip.setAttribute('aria-label', `${nameOf(span)} on rank ${lane.rank}`);
    const { offsetWidth, offsetHeight } = this.#tip;
    this.#tip.style.left = `${Math.min(x + TIP_GAP_PX, innerWidth - offsetWidth - TIP_GAP_PX)}px`;
    const isLow = y + TIP_GAP_PX + offsetHeight > innerHeight;
    this.#tip.style.top = `${isLow ? y - TIP_GAP_PX - offsetHeight : y + TIP_GAP_PX}px`;
  }
}
