import type { TimelineSpan } from '@locmoe/run-format/timeline-data';
import type { FallenRank } from '../../api-types.js';
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
/** Arrows of shorter waits are drawn for the chosen span alone. */
const LEAST_ARROW_PX = 14;
const HATCH_PX = 6;

export interface Scene {
  readonly layout: Layout;
  readonly window: TimeWindow;
  readonly stepEndMs: number;
  readonly fallen: readonly FallenRank[];
  /** Vertical position of what is at the top, below the axis. */
  readonly scrollTop: number;
  readonly width: number;
  readonly height: number;
  readonly chosen: TimelineSpan | null;
}

export function plotWidth(width: number): number {
  return Math.max(1, width - GUTTER - RIGHT);
}

export function draw(context: CanvasRenderingContext2D, scene: Scene): void {
  const { layout, scrollTop, height, width, window, stepEndMs } = scene;
  const x = (ms: number) => GUTTER + ((ms - window.from) / (window.to - window.from)) * plotWidth(width);
  context.font = `11px ${cssColor('--font')}`;
  context.textBaseline = 'middle';
  const seen = layout.lanes.filter(
    (lane) => lane.top + lane.height > scrollTop && lane.top < scrollTop + height - AXIS,
  );
  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();
  context.translate(0, AXIS - scrollTop);
  for (const { node, top } of layout.nodes) {
    context.fillStyle = cssColor('--text-dim');
    context.fillText(`node ${node}`, 4, top + 9);
  }
  for (const lane of seen) drawLabel(context, lane, stepEndMs);
  context.beginPath();
  context.rect(GUTTER, scrollTop, plotWidth(width), height);
  context.clip();
  drawGrid(context, scene, x);
  for (const lane of seen) drawLane(context, lane, scene, x);
  for (const lane of seen) drawArrows(context, lane, scene, x);
  for (const lane of seen) drawFall(context, lane, scene, x);
  context.restore();
  drawAxis(context, scene, x);
}

function drawLabel(
  context: CanvasRenderingContext2D,
  { lane, top, height, waitMs, spans }: PlacedLane,
  stepMs: number,
): void {
  const middle = top + Math.min(height, 34) / 2;
  context.fillStyle = cssColor('--text');
  context.fillText(`rank ${lane.rank}`, 4, middle);
  context.fillStyle = cssColor('--text-dim');
  context.textAlign = 'right';
  // Nothing is known of a rank that has recorded nothing of the step.
  const share = spans.length === 0 ? DASH : `${Math.round((100 * waitMs) / stepMs)} %`;
  context.fillText(share, GUTTER - 8, middle);
  context.textAlign = 'left';
}

function drawGrid(
  context: CanvasRenderingContext2D,
  { window, width, scrollTop, height }: Scene,
  x: (ms: number) => number,
) {
  context.fillStyle = cssColor('--grid');
  for (const ms of ticksOf(window, plotWidth(width) / 90).at)
    context.fillRect(Math.round(x(ms)), scrollTop, 1, height);
}

function drawAxis(
  context: CanvasRenderingContext2D,
  { window, width }: Scene,
  x: (ms: number) => number,
): void {
  context.fillStyle = cssColor('--card');
  context.fillRect(0, 0, width, AXIS);
  context.fillStyle = cssColor('--line');
  context.fillRect(0, AXIS - 1, width, 1);
  context.fillStyle = cssColor('--text-dim');
  context.fillText('rank', 4, AXIS / 2);
  context.textAlign = 'right';
  context.fillText('waits', GUTTER - 8, AXIS / 2);
  context.textAlign = 'center';
  const { at, step } = ticksOf(window, plotWidth(width) / 90);
  for (const ms of at) {
    const px = x(ms);
    if (px >= GUTTER + 22 && px <= width - 22) context.fillText(formatTick(ms, step), px, AXIS / 2);
  }
  context.textAlign = 'left';
}

function drawLane(
  context: CanvasRenderingContext2D,
  lane: PlacedLane,
  { window, chosen }: Scene,
  x: (ms: number) => number,
): void {
  // The first of many spans in one pixel is drawn.
  const drawnTo = new Map<number, number>();
  for (const placed of lane.spans) {
    const { span, top, height, isInFlight, hasLabel } = placed;
    if (span.endMs < window.from || span.startMs > window.to) continue;
    const [left, right] = [x(span.startMs), x(span.endMs)];
    const isHidden = right - left < 1 && Math.round(right) <= (drawnTo.get(top) ?? -1);
    drawnTo.set(top, Math.round(right));
    if (isHidden && span !== chosen) continue;
    const color = colorOf(span);
    const bar = {
      left,
      width: Math.max(1, right - left - (right - left > 3 ? 1 : 0)),
      top: lane.top + top,
      height,
    };
    context.globalAlpha = isInFlight ? 0.6 : 1;
    context.fillStyle = color;
    context.fillRect(bar.left, bar.top, bar.width, bar.height);
    context.globalAlpha = 1;
    if (!isInFlight) drawWait(context, placed, lane.top, x);
    if (hasLabel && bar.width >= LEAST_LABEL_PX) drawText(context, span, bar, color);
    if (span === chosen) outline(context, bar);
  }
}

interface Bar {
  readonly left: number;
  readonly width: number;
  readonly top: number;
  readonly height: number;
}

/** Lighter than the rest of the bar, and hatched. */
function drawWait(
  context: CanvasRenderingContext2D,
  { span, top, height }: PlacedSpan,
  laneTop: number,
  x: (ms: number) => number,
): void {
  const wait = span.operation?.wait;
  if (wait == null) return;
  const [left, right] = [x(wait.startMs), x(wait.endMs)];
  const width = right - left;
  if (width < 1) return;
  const y = laneTop + top;
  context.save();
  context.fillStyle = cssColor('--card');
  context.globalAlpha = 0.7;
  context.fillRect(left, y, width, height);
  context.globalAlpha = 0.85;
  if (width >= LEAST_HATCH_PX) {
    context.beginPath();
    context.rect(left, y, width, height);
    context.clip();
    context.strokeStyle = colorOf(span);
    context.lineWidth = 1.5;
    context.beginPath();
    // Only what can be seen: a wait may be far wider than the screen.
    const first = Math.max(left - height, -HATCH_PX);
    for (let px = first; px < Math.min(right, 10_000); px += HATCH_PX) {
      context.moveTo(px, y + height);
      context.lineTo(px + height, y);
    }
    context.stroke();
  }
  context.restore();
}

function drawText(context: CanvasRenderingContext2D, span: TimelineSpan, bar: Bar, color: string): void {
  // The part of the bar that can be seen.
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
  context.fillStyle = isOnHatching || isPhase(span) ? cssColor('--text') : inkOn(color);
  context.fillText(label, left + LABEL_PAD, bar.top + bar.height / 2 + 0.5);
}

function outline(context: CanvasRenderingContext2D, bar: Bar): void {
  context.strokeStyle = cssColor('--text');
  context.lineWidth = 2;
  context.strokeRect(bar.left, bar.top, Math.max(2, bar.width), bar.height);
}

/** Draws arrows from the start of the operation on the awaited rank to the end of the wait. */
function drawArrows(
  context: CanvasRenderingContext2D,
  lane: PlacedLane,
  { layout, chosen, window }: Scene,
  x: (ms: number) => number,
): void {
  for (const { span, top, height, isInFlight } of lane.spans) {
    const wait = span.operation?.wait;
    if (wait?.rankStartMs == null || isInFlight) continue;
    const isChosen = span === chosen;
    if (!isChosen && x(wait.endMs) - x(wait.startMs) < LEAST_ARROW_PX) continue;
    if (wait.endMs < window.from || wait.rankStartMs > window.to) continue;
    const sender = layout.lanes.find((each) => each.lane.rank === wait.rank);
    if (sender === undefined) continue;
    const sameOperation = sender.spans.find(
      (each) => each.span.operation?.sequence === span.operation!.sequence && !each.isInFlight,
    );
    const fromY = sender.top + (sameOperation?.top ?? 0) + (sameOperation?.height ?? sender.height) / 2;
    context.globalAlpha = isChosen ? 1 : 0.5;
    arrow(
      context,
      [x(wait.rankStartMs), fromY],
      [x(wait.endMs), lane.top + top + height / 2],
      isChosen ? 2 : 1,
    );
    context.globalAlpha = 1;
  }
}

/** Draws a line across the lane of a rank where it died or stopped, and the reason. */
function drawFall(
  context: CanvasRenderingContext2D,
  { lane, top, height }: PlacedLane,
  { fallen, width }: Scene,
  x: (ms: number) => number,
): void {
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

function arrow(context: CanvasRenderingContext2D, [x1, y1]: Point, [x2, y2]: Point, lineWidth: number): void {
  const bend = Math.max(12, Math.min(60, Math.abs(x2 - x1) / 2));
  context.strokeStyle = cssColor('--text');
  context.fillStyle = cssColor('--text');
  context.lineWidth = lineWidth;
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
export function boxOf(scene: Scene, span: TimelineSpan): Bar | null {
  const lane = laneOf(scene.layout, span);
  const placed = lane?.spans.find((each) => each.span === span);
  if (lane == null || placed === undefined) return null;
  const scale = plotWidth(scene.width) / (scene.window.to - scene.window.from);
  return {
    left: GUTTER + (span.startMs - scene.window.from) * scale,
    width: (span.endMs - span.startMs) * scale,
    top: AXIS + lane.top + placed.top - scene.scrollTop,
    height: placed.height,
  };
}
