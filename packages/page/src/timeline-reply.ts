import {
  type FlightRank,
  type RunFolder,
  readFlight,
  readTrace,
  reportFlight,
  type Timeline,
  type TimelineLane,
  type TimelineSpan,
  timelineOf,
  tracedSteps,
} from '@locmoe/run-format';
import { TrainerError } from '@locmoe/run-format/errors';
import type { FallenRank, TimelineReply } from './api-types.js';

/**
 * Returns the timeline of a step.
 *
 * @param step by default the newest one that every rank has recorded
 * @param generation by default the newest one that has the step
 * @throws TrainerError `BAD_INPUT` if the timeline of the step was not kept
 */
export function timelineReply(
  { directory, trace }: Pick<RunFolder, 'directory' | 'trace'>,
  step?: number,
  generation?: number,
): TimelineReply {
  const kept = tracedSteps(trace);
  const newest = kept.findLast((each) => each.generation === (generation ?? each.generation));
  const wanted = step ?? newest?.complete ?? 1;
  const timeline = timelineOf(readTrace(trace, { from: wanted, to: wanted, generation }));
  const fallen = fallenRanks(directory, timeline, wanted);
  const lanes = timeline.lanes.map((lane) => untilDeath(lane, fallen));
  const all = lanes.flatMap(({ spans }) => spans);
  const steps = all.filter(({ name }) => name === 'step');
  const measured = steps.length === 0 ? all : steps;
  const startMs = Math.min(...measured.map((span) => span.startMs));
  return {
    step: wanted,
    generation: timeline.generation,
    kept,
    clocks: timeline.clocks,
    startMs,
    endMs: rounded(Math.max(...measured.map((span) => span.endMs)) - startMs),
    lanes: lanes.map((lane) => relative(lane, startMs)),
    fallen: fallen.map((each) => ({ ...each, ms: rounded(each.ms - startMs) })),
  };
}

/**
 * Returns the ranks that the flight record blames for a failure in this step; times are in ms since 1970,
 * like those of the lanes.
 */
function fallenRanks(directory: string, { generation, lanes, clocks }: Timeline, step: number): FallenRank[] {
  let ranks: readonly FlightRank[];
  try {
    ({ ranks } = reportFlight(readFlight({ place: directory, runsDir: '', generation })));
  } catch (error) {
    // The run's details view reports a missing or damaged record.
    if (error instanceof TrainerError) return [];
    throw error;
  }
  return ranks.flatMap(({ rank, node, trouble, failure, writtenMs, ...flight }) => {
    const lane = lanes.find((each) => each.rank === rank);
    if (trouble === null || lane === undefined || flight.step !== step) return [];
    const times = lane.spans.map(({ startMs, endMs, isOpen }) => (isOpen ? startMs : endMs));
    const lastMs = times.reduce((last, ms) => Math.max(last, ms), Number.NEGATIVE_INFINITY);
    const offsetMs = clocks.find((each) => each.node === node)?.offsetMs ?? 0;
    // A node agent writes its record as soon as it sees that one of its processes has died.
    const hasDied = failure === 'WORKER_DIED';
    const ms = hasDied ? Math.max(lastMs, writtenMs - offsetMs) : lastMs;
    return Number.isFinite(ms) ? [{ rank, ms, hasDied, how: trouble }] : [];
  });
}

/** Extends open operations: that of a dead rank lasted until its death, those of the other ranks at least as long. */
function untilDeath(lane: TimelineLane, fallen: readonly FallenRank[]): TimelineLane {
  const deaths = fallen.filter(({ hasDied }) => hasDied);
  if (deaths.length === 0) return lane;
  const own = deaths.find(({ rank }) => rank === lane.rank)?.ms;
  const last = Math.max(...deaths.map(({ ms }) => ms));
  const extended = (span: TimelineSpan) =>
    span.isOpen ? { ...span, endMs: own ?? Math.max(span.endMs, last) } : span;
  return { ...lane, spans: lane.spans.map(extended), inFlight: lane.inFlight.map(extended) };
}

function rounded(ms: number): number {
  return Math.round(ms * 1e3) / 1e3;
}

function relative(lane: TimelineLane, startMs: number): TimelineLane {
  const since = (ms: number) => rounded(ms - startMs);
  const shifted = ({ operation, ...span }: TimelineSpan): TimelineSpan => ({
    ...span,
    startMs: since(span.startMs),
    endMs: since(span.endMs),
    operation: operation && {
      ...operation,
      wait: operation.wait && {
        rank: operation.wait.rank,
        startMs: since(operation.wait.startMs),
        endMs: since(operation.wait.endMs),
        rankStartMs: operation.wait.rankStartMs && since(operation.wait.rankStartMs),
      },
    },
  });
  return { ...lane, spans: lane.spans.map(shifted), inFlight: lane.inFlight.map(shifted) };
}
