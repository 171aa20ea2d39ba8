import type { TimelineSpan } from '@locmoe/run-format/timeline-data';
import type { FallenRank } from '../../api-types.js';
import { type Box, hatch } from '../canvas.js';
import { DASH } from '../format.js';
import { cssColor } from '../theme.js';
import { type Layout, laneOf, type PlacedLane, type PlacedSpan } from './layout.js';
import { colorOf, inkOn, isPhase, labelsOf } from './span-style.js';
import { formatTick, type TimeWindow, ticksOf } from './time-window.js';

export const GUTTER = 104;
export const AXIS = 22;
const RIGHT = 12;
const LABEL_PAD = 4;
/** Narrower bars have no label, and narrower waits no hatching. */
const LEAST_LABEL_PX = 22;
const LEAST_HATCH_PX = 5;
/** Arrows of shorter waits are drawn only for the chosen span. */
const LEAST_ARROW_PX = 14;
const HATCH_PX = 6;

export interface Scene {
  readonly layout: Layout;
  readonly window: TimeWindow;
  readonly stepEndMs: number;
  readonly fallen: readonly FallenRank[];
  /** Vertical scroll position: the offset of what is shown directly below the axis. */
  readonly scrollTop: number;
  readonly width: number;
  readonly height: number;
  readonly chosen: TimelineSpan | null;
}

/** A scene, the canvas context, and the x position of a time. */
interface Pen extends Scene {
  readonly context: CanvasRenderingContext2D;
  readonly x: (ms: number) => number;
}

export function plotWidth(width: number): number {
  return Math.max(1, width - GUTTER - RIGHT);
}

export function draw(context: CanvasRenderingContext2D, scene: Scene): void {
  const { layout, scrollTop, height, width, window } = scene;
  const x = (ms: number) => GUTTER + ((ms - window.from) / (window.to - window.from)) * plotWidth(width);
  const pen = { ...scene, context, x };
  const ticks = ticksOf(window, plotWidth(width) / 90);
  const seen = layout.lanes.filter(
    (lane) => lane.top + lane.height > scrollTop && lane.top < scrollTop + height - AXIS,
  );
  context.font = `11px ${cssColor('--font')}`;
  context.textBaseline = 'middle';
  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();
  context.translate(0, AXIS - scrollTop);
  context.fillStyle = cssColor('--text-dim');
  for (const { node, top } of layout.nodes) context.fillText(`node ${node}`, 4, top + 9);
  for (const lane of seen) drawLabel(pen, lane);
  context.beginPath();
  context.rect(GUTTER, scrollTop, plotWidth(width), height);
  context.clip();
  context.fillStyle = cssColor('--grid');
  for (const ms of ticks.at) context.fillRect(Math.round(x(ms)), scrollTop, 1, height);
  for (const lane of seen) drawLane(pen, lane);
  for (const lane of seen) drawArrows(pen, lane);
  for (const lane of seen) drawFall(pen, lane);
  context.restore();
  drawAxis(pen, ticks);
}

function drawLabel({ context, stepEndMs }: Pen, { lane, top, height, waitMs, spans }: PlacedLane): void {
  const middle = top + Math.min(height, 34) / 2;
  context.fillStyle = cssColor('--text');
  context.fillText(`rank ${lane.rank}`, 4, middle);
  context.fillStyle = cssColor('--text-dim');
  context.textAlign = 'right';
  // The share is unknown for a rank that has recorded nothing of the step.
  const share = spans.length === 0 ? DASH : `${Math.round((100 * waitMs) / stepEndMs)} %`;
  context.fillText(share, GUTTER - 8, middle);
  context.textAlign = 'left';
}

function drawAxis({ context, width, x }: Pen, { at, step }: ReturnType<typeof ticksOf>): void {
  context.fillStyle = cssColor('--card');
  context.fillRect(0, 0, width, AXIS);
  context.fillStyle = cssColor('--line');
  context.fillRect(0, AXIS - 1, width, 1);
  context.fillStyle = cssColor('--text-dim');
  context.fillText('rank', 4, AXIS / 2);
  context.textAlign = 'right';
  context.fillText('waits', GUTTER - 8, AXIS / 2);
  context.textAlign = 'center';
  for (const ms of at)
    if (x(ms) >= GUTTER + 22 && x(ms) <= width - 22) context.fillText(formatTick(ms, step), x(ms), AXIS / 2);
  context.textAlign = 'left';
}

function drawLane(pen: Pen, lane: PlacedLane): void {
  const { context, window, chosen, x } = pen;
  // Only the first of several spans within one pixel is drawn.
  const drawnTo = new Map<number, number>();
  for (const placed of lane.spans) {
    const { span, top, height, isInFlight, hasLabel } = placed;
    if (span.endMs < window.from || span.startMs > window.to) continue;
    const [left, right] = [x(span.startMs), x(span.endMs)];
    const isHidden = right - left < 1 && Math.round(right) <= (drawnTo.get(top) ?? -1);
    drawnTo.set(top, Math.round(right));
    if (isHidden && span !== chosen) continue;
    const width = Math.max(1, right - left - (right - left > 3 ? 1 : 0));
    const bar = { left, width, top: lane.top + top, height };
    context.globalAlpha = isInFlight ? 0.6 : 1;
    context.fillStyle = colorOf(span);
    context.fillRect(bar.left, bar.top, bar.width, bar.height);
    context.globalAlpha = 1;
    if (!isInFlight) drawWait(pen, placed, bar.top);
    if (hasLabel && bar.width >= LEAST_LABEL_PX) drawText(context, span, bar);
    if (span !== chosen) continue;
    context.strokeStyle = cssColor('--text');
    context.lineWidth = 2;
    context.strokeRect(bar.left, bar.top, Math.max(2, bar.width), bar.height);
  }
}

/** Draws the wait of a span lighter than the rest of its bar, and hatched. */
function drawWait({ context, x }: Pen, { span, height }: PlacedSpan, top: number): void {
  const wait = span.operation?.wait;
  if (wait == null) return;
  const left = x(wait.startMs);
  const width = x(wait.endMs) - left;
  if (width < 1) return;
  context.save();
  context.fillStyle = cssColor('--card');
  context.globalAlpha = 0.7;
  context.fillRect(left, top, width, height);
  context.globalAlpha = 0.85;
  context.strokeStyle = colorOf(span);
  context.lineWidth = 1.5;
  if (width >= LEAST_HATCH_PX) hatch(context, { left, top, width, height }, HATCH_PX);
  context.restore();
}

function drawText(context: CanvasRenderingContext2D, span: TimelineSpan, bar: Box): void {
  // The label is drawn on the visible part of the bar.
  const left = Math.max(bar.left, GUTTER);
  const room = bar.left + bar.width - left - 2 * LABEL_PAD;
  const label = labelsOf(span).find((each) => context.measureText(each).width <= room);
  if (label === undefined) return;
  const wait = span.operation?.wait;
  const isOnHatching = wait != null && wait.endMs - wait.startMs > 0.5 * (span.endMs - span.startMs);
  if (isOnHatching) {
    context.fillStyle = cssColor('--card');
    context.globalAlpha = 0.8;
    context.fillRect(left + 2, bar.top + 1, context.measureText(label).width + 4, bar.height - 2);
    context.globalAlpha = 1;
  }
  context.fillStyle = isOnHatching || isPhase(span) ? cssColor('--text') : inkOn(colorOf(span));
  context.fillText(label, left + LABEL_PAD, bar.top + bar.height / 2 + 0.5);
}

/** Draws arrows from the start of the operation on the awaited rank to the end of the wait. */
function drawArrows({ context, layout, chosen, window, x }: Pen, lane: PlacedLane): void {
  for (const { span, top, height, isInFlight } of lane.spans) {
    const wait = span.operation?.wait;
    if (wait?.rankStartMs == null || isInFlight) continue;
    const isChosen = span === chosen;
    if (!isChosen && x(wait.endMs) - x(wait.startMs) < LEAST_ARROW_PX) continue;
    if (wait.endMs < window.from || wait.rankStartMs > window.to) continue;
    const sender = layout.lanes.find((each) => each.lane.rank === wait.rank);
    if (sender === undefined) continue;
    const same = sender.spans.find(
      (each) => each.span.operation?.sequence === span.operation!.sequence && !each.isInFlight,
    );
    const fromY = sender.top + (same?.top ?? 0) + (same?.height ?? sender.height) / 2;
    context.globalAlpha = isChosen ? 1 : 0.5;
    context.lineWidth = isChosen ? 2 : 1;
    arrow(context, [x(wait.rankStartMs), fromY], [x(wait.endMs), lane.top + top + height / 2]);
    context.globalAlpha = 1;
  }
}

/** Draws a line across the lane of a rank where it died or stopped, and the reason. */
function drawFall({ context, fallen, width, x }: Pen, { lane, top, height }: PlacedLane): void {
  const fall = fallen.find(({ rank }) => rank === lane.rank);
  if (fall === undefined) return;
  const left = Math.round(x(fall.ms));
  context.fillStyle = cssColor('--level-error');
  context.fillRect(left - 1, top - 1, 3, height + 2);
  const text = `${fall.hasDied ? '✕ ' : ''}${fall.how}`;
  const room = context.measureText(text).width + 2 * LABEL_PAD;
  const at = left + 3 + room <= width ? left + 3 : left - 2 - room;
  const [boxTop, boxHeight] = [top + height / 2 - 7.5, 15];
  context.fillStyle = cssColor('--card');
  context.fillRect(at, boxTop, room, boxHeight);
  context.fillStyle = cssColor('--level-error');
  context.fillText(text, at + LABEL_PAD, boxTop + boxHeight / 2 + 0.5);
}

type Point = readonly [x: number, y: number];

function arrow(context: CanvasRenderingContext2D, [x1, y1]: Point, [x2, y2]: Point): void {
  const bend = Math.max(12, Math.min(60, Math.abs(x2 - x1) / 2));
  context.strokeStyle = cssColor('--text');
  context.fillStyle = cssColor('--text');
  context.beginPath();
  context.moveTo(x1, y1);
  context.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2 - 4, y2);
  context.stroke();
  context.beginPath();
  context.moveTo(x2, y2);
  context.lineTo(x2 - 6, y2 - 3.5);
  context.lineTo(x2 - 6, y2 + 3.5);
  context.fill();
}

/** Returns the box of a span in pixels of the canvas; null if it is not visible. */
export function boxOf({ layout, width, window, scrollTop }: Scene, span: TimelineSpan): Box | null {
  const lane = laneOf(layout, span);
  const placed = lane?.spans.find((each) => each.span === span);
  if (lane == null || placed === undefined) return null;
  const scale = plotWidth(width) / (window.to - window.from);
  return {
    left: GUTTER + (span.startMs - window.from) * scale,
    width: (span.endMs - span.startMs) * scale,
    top: AXIS + lane.top + placed.top - scrollTop,
    height: placed.height,
  };
}
