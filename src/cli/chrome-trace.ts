import type { Timeline, TimelineLane, TimelineSpan } from '@locmoe/run-format';

/**
 * Trace Event Format, as Perfetto and chrome://tracing read it: a process for each node, a thread for each rank, and
 * further threads for transfers in flight while the rank computes. Times are in microseconds since the first event.
 */
export interface ChromeTrace {
  readonly displayTimeUnit: 'ms';
  readonly otherData: Readonly<Record<string, string | number>>;
  readonly traceEvents: readonly TraceEvent[];
}

type Arguments = Readonly<Record<string, string | number | boolean>>;

export type TraceEvent = { readonly pid: number; readonly tid: number; readonly name: string } & (
  | { readonly ph: 'M'; readonly args: Arguments }
  | {
      readonly ph: 'X';
      readonly cat: string;
      readonly ts: number;
      readonly dur: number;
      readonly args: Arguments;
    }
  | { readonly ph: 's'; readonly cat: string; readonly ts: number; readonly id: number }
  | { readonly ph: 'f'; readonly bp: 'e'; readonly cat: string; readonly ts: number; readonly id: number }
);

/** Offset of the thread ids for overlapped operations, which follow the ranks' own. */
const IN_FLIGHT_TID = 100_000;
const MAX_IN_FLIGHT = 100;

export function chromeTrace(timeline: Timeline): ChromeTrace {
  const { runId, generation, lanes, clocks } = timeline;
  const startMs = Math.min(...lanes.flatMap(({ spans }) => spans.slice(0, 1).map((span) => span.startMs)));
  // Quarters of a microsecond are exact, so that start plus duration equals the start of the next event, to the bit.
  const us = (ms: number) => Math.round((ms - startMs) * 4e3) / 4;
  const nodes = [...new Set(lanes.map(({ node }) => node))];
  const numArrows = { value: 0 };
  return {
    displayTimeUnit: 'ms',
    otherData: {
      run: runId,
      generation,
      startTime: new Date(startMs).toISOString(),
      ...Object.fromEntries(
        clocks.map(({ node, offsetMs, uncertaintyMs }) => [
          `clock of node ${node}`,
          `${offsetMs.toFixed(3)} ms corrected, ` +
            (uncertaintyMs === null ? 'uncertainty not known' : `within ${uncertaintyMs.toFixed(3)} ms`),
        ]),
      ),
    },
    traceEvents: [
      ...nodes.flatMap((node) => named(node + 1, 0, 'process', `node ${node}`, node)),
      ...lanes.flatMap((lane) => eventsOf(lane, lanes, us, numArrows)),
    ],
  };
}

function named(
  pid: number,
  tid: number,
  what: 'process' | 'thread',
  name: string,
  order: number,
): TraceEvent[] {
  const event = { ph: 'M', pid, tid } as const;
  return [
    { ...event, name: `${what}_name`, args: { name } },
    { ...event, name: `${what}_sort_index`, args: { sort_index: order } },
  ];
}

function eventsOf(
  { rank, node, spans, inFlight }: TimelineLane,
  lanes: readonly TimelineLane[],
  us: (ms: number) => number,
  numArrows: { value: number },
): TraceEvent[] {
  // Some readers treat process and thread 0 as idle.
  const place = { pid: node + 1, tid: rank + 1 };
  const slice = (tid: number, { startMs, endMs }: Pick<TimelineSpan, 'startMs' | 'endMs'>) => ({
    ...({ ph: 'X', pid: place.pid, tid } as const),
    ts: us(startMs),
    dur: Math.max(0, us(endMs) - us(startMs)),
  });
  const spanEvent = (tid: number, span: TimelineSpan): TraceEvent => ({
    ...slice(tid, span),
    name: nameOf(span),
    cat: span.kind === 'part' ? 'compute' : 'collective',
    args: argumentsOf(span),
  });
  const events: TraceEvent[] = named(place.pid, place.tid, 'thread', `rank ${rank}`, rank * MAX_IN_FLIGHT);
  for (const span of spans) {
    events.push(spanEvent(place.tid, span));
    const wait = span.operation?.wait;
    if (wait == null) continue;
    const args: Arguments = wait.rank === null ? {} : { waitedFor: wait.rank };
    events.push({ ...slice(place.tid, wait), name: 'wait', cat: 'wait', args });
    if (wait.rankStartMs === null || wait.rankStartMs > wait.endMs) continue;
    const sender = lanes.find((lane) => lane.rank === wait.rank)!;
    const arrow = { name: 'waited for', cat: 'waited for', id: ++numArrows.value };
    const from = { pid: sender.node + 1, tid: sender.rank + 1 };
    events.push({ ...arrow, ...from, ph: 's', ts: us(wait.rankStartMs) });
    events.push({ ...arrow, ...place, ph: 'f', bp: 'e', ts: us(wait.endMs) });
  }
  for (const [index, row] of rowsWithoutOverlap(inFlight).entries()) {
    const tid = IN_FLIGHT_TID + rank * MAX_IN_FLIGHT + index;
    events.push(
      ...named(place.pid, tid, 'thread', `rank ${rank} in flight`, rank * MAX_IN_FLIGHT + index + 1),
    );
    events.push(...row.map((span) => spanEvent(tid, span)));
  }
  return events;
}

/** Puts each span into the first row that is free. */
function rowsWithoutOverlap(spans: readonly TimelineSpan[]): TimelineSpan[][] {
  const rows: TimelineSpan[][] = [];
  for (const span of spans) {
    const row = rows.find((each) => each.at(-1)!.endMs <= span.startMs);
    if (row === undefined) rows.push([span]);
    else row.push(span);
  }
  return rows;
}

function nameOf({ kind, name, step }: TimelineSpan): string {
  if (kind !== 'part') return `${kind} ${name}`;
  return name === 'step' ? `step ${step}` : name;
}

function argumentsOf({ step, layer, operation, isOpen }: TimelineSpan): Arguments {
  const { sequence, bytesOut, bytesIn, wait } = operation ?? {};
  const known = {
    step,
    layer,
    sequence,
    bytesOut,
    bytesIn,
    waitMs: wait == null ? undefined : Math.round((wait.endMs - wait.startMs) * 1e3) / 1e3,
    waitedFor: wait?.rank ?? undefined,
    unfinished: isOpen || undefined,
  };
  return Object.fromEntries(
    Object.entries(known).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
