import type { OperationSpan, RecordedSpan } from './flight-span.js';
import type { ClockOffset } from './timeline-data.js';
import type { TraceHead } from './trace-file.js';

/** Spans of one rank, and the clock of its node. */
export interface RankSpans extends Pick<TraceHead, 'node' | 'machine' | 'monotonicEpochMs'> {
  readonly rank: number;
  readonly spans: readonly RecordedSpan[];
}

/** On one node, when all its ranks had begun an operation, and when the first had ended it. */
interface Bounds {
  lastStart: number;
  firstEnd: number;
}

/**
 * Compares the clocks of the nodes with that of the first. Nodes of one machine share its monotonic clock.
 * Others are compared by their exchanges: an operation in which every rank receives from all others cannot
 * end anywhere before it has begun everywhere, which bounds the offset of a node from above and below. The
 * tightest bounds of many operations are used, and the offset is assumed to be in their middle.
 */
export function clockOffsets(ranks: readonly RankSpans[], worldSize: number): ClockOffset[] {
  const nodes = new Map<number, RankSpans[]>();
  for (const each of ranks) nodes.set(each.node, [...(nodes.get(each.node) ?? []), each]);
  const [first, ...others] = [...nodes].sort(([a], [b]) => a - b).map(([, ofNode]) => ofNode);
  if (first === undefined) return [];
  const boundsOfFirst = boundsOf(first, worldSize);
  return [
    { node: first[0]!.node, offsetMs: 0, uncertaintyMs: 0 },
    ...others.map((other) => {
      const { node, machine, monotonicEpochMs } = other[0]!;
      if (machine === first[0]!.machine)
        return { node, offsetMs: monotonicEpochMs - first[0]!.monotonicEpochMs, uncertaintyMs: 0 };
      return { node, ...offsetOf(boundsOf(other, worldSize), boundsOfFirst) };
    }),
  ];
}

function boundsOf(ranks: readonly RankSpans[], worldSize: number): Map<number, Bounds> {
  const bounds = new Map<number, Bounds>();
  for (const { spans } of ranks)
    for (const span of spans) if (hearsFromAll(span, worldSize)) widen(bounds, span);
  return bounds;
}

function hearsFromAll(span: RecordedSpan, worldSize: number): span is OperationSpan & { endMs: number } {
  return span.kind !== 'part' && span.endMs !== null && span.numReceives === worldSize - 1;
}

function widen(bounds: Map<number, Bounds>, { sequence, startMs, endMs }: OperationSpan & { endMs: number }) {
  const known = bounds.get(sequence);
  if (known === undefined) bounds.set(sequence, { lastStart: startMs, firstEnd: endMs });
  else {
    known.lastStart = Math.max(known.lastStart, startMs);
    known.firstEnd = Math.min(known.firstEnd, endMs);
  }
}

function offsetOf(
  ofNode: ReadonlyMap<number, Bounds>,
  ofFirst: ReadonlyMap<number, Bounds>,
): Omit<ClockOffset, 'node'> {
  let least = Number.NEGATIVE_INFINITY;
  let most = Number.POSITIVE_INFINITY;
  for (const [sequence, here] of ofNode) {
    const there = ofFirst.get(sequence);
    if (there === undefined) continue;
    least = Math.max(least, here.lastStart - there.firstEnd);
    most = Math.min(most, here.firstEnd - there.lastStart);
  }
  if (!Number.isFinite(least)) return { offsetMs: 0, uncertaintyMs: null };
  return { offsetMs: (least + most) / 2, uncertaintyMs: Math.abs(most - least) / 2 };
}
