import { readTrace, tracedSteps } from 'locmoe/run/read-trace';
import { timelineOf } from 'locmoe/run/timeline';
import type { TimelineLane, TimelineSpan } from 'locmoe/run/timeline-data';
import type { TimelineReply } from './api-types.js';

/**
 * The timeline of a step.
 *
 * @param directory traces of the run
 * @param step the last that is kept if undefined
 * @param generation the newest that has the step if undefined
 * @throws TrainerError `BAD_INPUT` if the step is not kept
 */
export function timelineReply(directory: string, step?: number, generation?: number): TimelineReply {
  const kept = tracedSteps(directory);
  const newest = kept.findLast((each) => each.generation === (generation ?? each.generation));
  const wanted = step ?? newest?.last ?? 1;
  const { lanes, clocks, ...timeline } = timelineOf(
    readTrace(directory, { from: wanted, to: wanted, generation }),
  );
  const all = lanes.flatMap(({ spans }) => spans);
  const steps = all.filter(({ name }) => name === 'step');
  const measured = steps.length === 0 ? all : steps;
  const startMs = Math.min(...measured.map((span) => span.startMs));
  return {
    step: wanted,
    generation: timeline.generation,
    kept,
    clocks,
    startMs,
    endMs: rounded(Math.max(...measured.map((span) => span.endMs)) - startMs),
    lanes: lanes.map((lane) => relative(lane, startMs)),
  };
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
        rankStartMs: operation.wait.rankStartMs === null ? null : since(operation.wait.rankStartMs),
      },
    },
  });
  return { ...lane, spans: lane.spans.map(shifted), inFlight: lane.inFlight.map(shifted) };
}
