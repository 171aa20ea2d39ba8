import type { TimelineLane, TimelineSpan } from '@locmoe/run-format/timeline-data';

/** Heights in pixels. */
const NODE_ROW = 18;
const GAP = 6;
/** Heights in px by depth: the step, its phases, their parts, operations. */
const ROWS = [4, 13, 15, 15] as const;
const IN_FLIGHT_ROW = 5;
const COMPACT_ROW = 15;

/** A placed span; `top` is relative to its lane. */
export interface PlacedSpan {
  readonly span: TimelineSpan;
  readonly top: number;
  readonly height: number;
  /** Whether the operation was in flight while the rank did other things. */
  readonly isInFlight: boolean;
  /** False if other spans of the same row cover it. */
  readonly hasLabel: boolean;
}

export interface PlacedLane {
  readonly lane: TimelineLane;
  readonly top: number;
  readonly height: number;
  /** Spans of the lane, outer spans before inner ones. */
  readonly spans: readonly PlacedSpan[];
  /** Time of the step that the rank waited, in ms. */
  readonly waitMs: number;
}

export interface Layout {
  readonly lanes: readonly PlacedLane[];
  readonly nodes: readonly { readonly node: number; readonly top: number; readonly height: number }[];
  readonly height: number;
}

/**
 * Places the lanes one below the other, by node.
 *
 * @param stepEndMs end of the step, which begins at 0
 * @param isCompact one row for each rank, in which inner spans cover outer ones
 */
export function layoutOf(lanes: readonly TimelineLane[], stepEndMs: number, isCompact: boolean): Layout {
  const placed: PlacedLane[] = [];
  const nodes: Layout['nodes'][number][] = [];
  let top = 0;
  for (const [index, lane] of lanes.entries()) {
    if (lane.node !== lanes[index - 1]?.node) {
      nodes.push({ node: lane.node, top, height: NODE_ROW });
      top += NODE_ROW;
    }
    const waitMs = waitsOf(lane, stepEndMs).reduce((sum, { ms }) => sum + ms, 0);
    const placedLane = { ...(isCompact ? compact(lane, top) : expanded(lane, top)), waitMs };
    placed.push(placedLane);
    top += placedLane.height + (isCompact ? 2 : GAP);
  }
  return { lanes: placed, nodes, height: top };
}

function compact(lane: TimelineLane, top: number): Omit<PlacedLane, 'waitMs'> {
  const shown = lane.spans.filter(({ name, kind }) => kind !== 'part' || name !== 'step');
  const spans = shown.map((span, index) => {
    const next = shown[index + 1];
    const hasLabel = next === undefined || next.startMs >= span.endMs;
    return { span, top: 0, height: COMPACT_ROW, isInFlight: false, hasLabel };
  });
  return { lane, top, height: COMPACT_ROW, spans };
}

function expanded(lane: TimelineLane, top: number): Omit<PlacedLane, 'waitMs'> {
  const tops = ROWS.map((_, depth) => ROWS.slice(0, depth).reduce((sum, row) => sum + row, 0));
  const open: TimelineSpan[] = [];
  const spans: PlacedSpan[] = lane.spans.map((span) => {
    while (open.length > 0 && open[open.length - 1]!.endMs <= span.startMs) open.pop();
    // Operations share the last row; a nested one covers the outer one.
    const depth = span.kind === 'part' ? Math.min(open.length, ROWS.length - 2) : ROWS.length - 1;
    open.push(span);
    return { span, top: tops[depth]!, height: ROWS[depth]! - 1, isInFlight: false, hasLabel: depth > 0 };
  });
  const rows: TimelineSpan[] = [];
  const bottom = tops[ROWS.length - 1]! + ROWS[ROWS.length - 1]!;
  const inFlight = lane.inFlight.map((span) => {
    const free = rows.findIndex(({ endMs }) => endMs <= span.startMs);
    const row = free < 0 ? rows.length : free;
    rows[row] = span;
    return {
      span,
      top: bottom + row * IN_FLIGHT_ROW,
      height: IN_FLIGHT_ROW - 1,
      isInFlight: true,
      hasLabel: false,
    };
  });
  const height = bottom + rows.length * IN_FLIGHT_ROW;
  return { lane, top, height, spans: [...spans, ...inFlight] };
}

/**
 * Returns the waits of a rank within a step, and for which rank. Waits of what follows the step, such as a
 * validation, are cut off.
 */
export function waitsOf(
  { spans }: TimelineLane,
  stepEndMs: number,
): { readonly rank: number | null; readonly ms: number }[] {
  return spans.flatMap(({ operation }) => {
    const wait = operation?.wait;
    if (wait == null) return [];
    const ms = Math.min(wait.endMs, stepEndMs) - Math.max(wait.startMs, 0);
    return ms > 0 ? [{ rank: wait.rank, ms }] : [];
  });
}

/** Returns the innermost span at a position, of those that are wide enough to be visible; null if there is none. */
export function spanAt(layout: Layout, y: number, timeMs: number, slackMs: number): PlacedSpan | null {
  const lane = layout.lanes.find(({ top, height }) => y >= top && y < top + height);
  if (lane === undefined) return null;
  const row = y - lane.top;
  return (
    lane.spans.findLast(
      ({ span, top, height }) =>
        row >= top &&
        row <= top + height &&
        span.startMs - slackMs <= timeMs &&
        timeMs <= span.endMs + slackMs,
    ) ?? null
  );
}

/** Returns the lane that holds a span. */
export function laneOf(layout: Layout, span: TimelineSpan): PlacedLane | null {
  return layout.lanes.find(({ spans }) => spans.some((each) => each.span === span)) ?? null;
}
