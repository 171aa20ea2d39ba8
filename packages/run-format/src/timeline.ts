import { clockOffsets } from './clock-offsets.js';
import type { OperationSpan, RecordedSpan } from './flight-span.js';
import type { Trace } from './read-trace.js';
import type { ClockOffset, TimelineLane, TimelineSpan, TimelineWait } from './timeline-data.js';

/** Shorter waits are not attributed to a rank if none was recorded. */
const LEAST_WAIT_MS = 0.05;

export interface Timeline extends Pick<Trace, 'runId' | 'generation' | 'numNodes' | 'workersPerNode'> {
  readonly lanes: readonly TimelineLane[];
  readonly clocks: readonly ClockOffset[];
}

/** Converts the spans of all ranks to one clock, and determines who waited for whom. */
export function timelineOf(trace: Trace): Timeline {
  const { runId, generation, numNodes, workersPerNode, ranks } = trace;
  const worldSize = numNodes * workersPerNode;
  const clocks = clockOffsets(ranks, worldSize);
  const offsets = new Map(clocks.map(({ node, offsetMs }) => [node, offsetMs]));
  const aligned = ranks.map((each) => ({
    ...each,
    spans: each.spans.map((span) => shifted(span, offsets.get(each.node) ?? 0)),
  }));
  const lastMs = aligned
    .flatMap(({ spans }) => spans)
    .reduce((last, { startMs, endMs }) => Math.max(last, endMs ?? startMs), 0);
  const startsOf = startsOfOperations(aligned);
  const lanes = aligned.map(({ rank, node, spans }) => {
    const parts = spans.map((span) => ({
      span,
      shown: timelineSpan(span, { rank, worldSize, lastMs, startsOf }),
    }));
    return {
      rank,
      node,
      spans: parts.flatMap(({ span, shown }) => onThread(span, shown)).sort(byStart),
      inFlight: parts
        .filter(({ span }) => isOverlapped(span))
        .map(({ shown }) => shown)
        .sort(byStart),
    };
  });
  return { runId, generation, numNodes, workersPerNode, lanes, clocks };
}

/** Orders spans by their start, and outer spans before inner ones. */
function byStart(a: TimelineSpan, b: TimelineSpan): number {
  return a.startMs - b.startMs || b.endMs - a.endMs;
}

function shifted(span: RecordedSpan, offsetMs: number): RecordedSpan {
  if (offsetMs === 0) return span;
  const shift = (time: number | null) => (time === null ? null : time - offsetMs);
  const common = { startMs: span.startMs - offsetMs, endMs: shift(span.endMs) };
  if (span.kind === 'part') return { ...span, ...common };
  return { ...span, ...common, enteredMs: shift(span.enteredMs), waitEndMs: shift(span.waitEndMs) };
}

type Starts = ReadonlyMap<number, ReadonlyMap<number, number>>;

/** Returns when each rank began an operation, by sequence, then by rank. */
function startsOfOperations(ranks: Trace['ranks']): Starts {
  const starts = new Map<number, Map<number, number>>();
  for (const { rank, spans } of ranks)
    for (const span of spans) {
      if (span.kind === 'part') continue;
      const ofRank = starts.get(span.sequence) ?? new Map<number, number>();
      starts.set(span.sequence, ofRank.set(rank, span.startMs));
    }
  return starts;
}

interface Context {
  readonly rank: number;
  readonly worldSize: number;
  readonly lastMs: number;
  readonly startsOf: Starts;
}

function timelineSpan(span: RecordedSpan, context: Context): TimelineSpan {
  const { kind, purpose, layer, step, startMs, endMs } = span;
  const common = {
    kind,
    name: purpose,
    layer,
    step,
    startMs,
    endMs: endMs ?? context.lastMs,
    isOpen: endMs === null,
  };
  if (span.kind === 'part') return { ...common, operation: null };
  const { sequence, bytesOut, bytesIn } = span;
  return { ...common, operation: { sequence, bytesOut, bytesIn, wait: waitOf(span, context) } };
}

function waitOf(span: OperationSpan, { rank, worldSize, startsOf }: Context): TimelineWait | null {
  const { waitMs, waitEndMs, waitedFor, sequence, numReceives, startMs } = span;
  if (waitEndMs === null) return null;
  const starts = startsOf.get(sequence)!;
  let last = waitedFor;
  // Bytes of several ranks arrived at once. If all ranks send to each other, the last to begin was the last
  // to send.
  if (last === null && waitMs >= LEAST_WAIT_MS && numReceives === worldSize - 1)
    for (const [other, start] of starts)
      if (other !== rank && start > (last === null ? startMs : starts.get(last)!)) last = other;
  return {
    startMs: Math.max(startMs, waitEndMs - waitMs),
    endMs: waitEndMs,
    rank: last,
    rankStartMs: last === null ? null : (starts.get(last) ?? null),
  };
}

function isOverlapped(span: RecordedSpan): boolean {
  return span.kind !== 'part' && span.enteredMs !== span.startMs;
}

/** Returns the parts of a span in which the rank's thread spent its time. */
function onThread(span: RecordedSpan, shown: TimelineSpan): TimelineSpan[] {
  if (!isOverlapped(span)) return [shown];
  const { enteredMs } = span as OperationSpan;
  return enteredMs === null ? [] : [{ ...shown, startMs: enteredMs }];
}
