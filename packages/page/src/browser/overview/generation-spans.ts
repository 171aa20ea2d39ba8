import type { MetricsReply, RunDetail } from '../../api-types.js';
import { tookMs } from '../run-list.js';

/** A generation of a run on the wall clock, in ms since 1970. */
export interface GenerationSpan {
  readonly generation: number;
  readonly beganAt: number;
  /** When the first step of the generation began; null if it has not trained, or if nothing recorded it. */
  readonly trainedAt: number | null;
  /** When the generation ended; null while it continues. */
  readonly endedAt: number | null;
  /** Number of updates that had been done when the generation began. */
  readonly fromStep: number;
}

/** The data about a run from which the spans are derived. */
interface Known {
  readonly detail: Pick<RunDetail, 'isLive' | 'endedAt' | 'generations'> | null;
  readonly metrics: Pick<MetricsReply, 'generations'> | null;
}

/** Returns the generations of a run, oldest first, from its journal or, where that lacks them, from its metrics. */
export function generationSpans({ detail, metrics }: Known): GenerationSpan[] {
  const points = metrics?.generations ?? [];
  const journal = detail?.generations ?? [];
  const numbers = new Set([...points, ...journal].map(({ generation }) => generation));
  const ordered = [...numbers].sort((a, b) => a - b);
  return ordered.map((generation, index) => {
    const told = journal.find((each) => each.generation === generation);
    const point = points.find((each) => each.generation === generation);
    const isLast = index === ordered.length - 1;
    const end = isLast && detail?.isLive === false ? detail.endedAt : null;
    return {
      generation,
      beganAt: told?.beganAtMs ?? point?.time ?? 0,
      trainedAt: told?.trainedAtMs ?? null,
      endedAt:
        isLast && detail?.isLive !== false ? null : (told?.endedAtMs ?? end ?? point?.lastTime ?? null),
      fromStep: told?.from.step ?? point?.resumedFrom ?? 0,
    };
  });
}

interface TimedRun {
  readonly detail: Pick<RunDetail, 'startedAt' | 'endedAt'> | null;
  readonly generationSpans: readonly GenerationSpan[];
}

/** Returns a run's total duration, as in the list of runs, and the time in which a generation was running, in ms. */
export function timesOf(
  { detail, generationSpans: spans }: TimedRun,
  now: number,
): { readonly totalMs: number; readonly runningMs: number } {
  if (detail === null) return { totalMs: 0, runningMs: 0 };
  const totalMs = tookMs(detail) ?? now - Date.parse(detail.startedAt);
  const sum = spans.reduce((ms, { beganAt, endedAt }) => ms + Math.max(0, (endedAt ?? now) - beganAt), 0);
  return { totalMs, runningMs: Math.min(totalMs, sum) };
}

/** A range on the x axis of the charts. */
export type XRange = readonly [from: number, to: number];

/** Positions of the generations of a run on the x axis. */
export interface GenerationMarks {
  /** The last one has no end while the run is live. */
  readonly generations: readonly { readonly generation: number; readonly range: XRange }[];
  /** Ranges from the end of a generation to the first step of the next; no line is drawn across them. */
  readonly pauses: readonly XRange[];
}

export const NO_MARKS: GenerationMarks = { generations: [], pauses: [] };

/**
 * Places the generations of a run on the x axis. On a step axis, a generation ends at the step where the next
 * one resumed: later steps were repeated. A run of one generation has no marks.
 *
 * @param xOf the x value of a time
 */
export function generationMarks(
  spans: readonly GenerationSpan[],
  axis: 'step' | 'time',
  xOf: (time: number) => number,
): GenerationMarks {
  if (spans.length < 2) return NO_MARKS;
  if (axis === 'step') return { generations: byStep(spans), pauses: [] };
  return {
    generations: spans.map(({ generation, beganAt, endedAt }) => ({
      generation,
      range: [xOf(beganAt), endedAt === null ? Number.POSITIVE_INFINITY : xOf(endedAt)],
    })),
    pauses: spans.slice(1).map(({ beganAt, trainedAt }, index) => {
      const { endedAt } = spans[index]!;
      return [xOf(endedAt ?? beganAt), xOf(trainedAt ?? beganAt)] as const;
    }),
  };
}

function byStep(spans: readonly GenerationSpan[]): GenerationMarks['generations'] {
  const kept: GenerationSpan[] = [];
  for (const span of spans) {
    while ((kept.at(-1)?.fromStep ?? -1) >= span.fromStep) kept.pop();
    kept.push(span);
  }
  return kept.map(({ generation, fromStep }, index) => ({
    generation,
    range: [fromStep, kept[index + 1]?.fromStep ?? Number.POSITIVE_INFINITY],
  }));
}
