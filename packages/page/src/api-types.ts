import type { StoredFailure } from 'locmoe/run/failure-report';
import type { RestartCosts, RunGeneration } from 'locmoe/run/run-generations';
import type { ClockOffset, TimelineLane, TracedSteps } from 'locmoe/run/timeline-data';

/** JSON of the routes under `/api`. Times are in ms since 1970. */

export interface RunListItem {
  readonly runId: string;
  /** As in run.json; `dead` if the coordinator is gone without having ended the run. */
  readonly state: string;
  readonly isLive: boolean;
  readonly startedAt: string;
  readonly generation: number;
  /** 0 before the first step. */
  readonly step: number;
  readonly steps: number | null;
  readonly loss: number | null;
}

export interface RunList {
  /** Newest first. */
  readonly runs: readonly RunListItem[];
}

export interface RunDetail extends RunListItem, RestartCosts {
  readonly directory: string;
  readonly endedAt: number | null;
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly summary: Readonly<Record<string, unknown>> | null;
  readonly failure: StoredFailure | null;
  /** Restarts that a live run has left now; null for one that is over. */
  readonly restartsLeft: number | null;
  /** Oldest first; none of a run of an earlier version. */
  readonly generations: readonly RunGeneration[];
}

/** Columns of equal length by name; null where a row has no value. */
export type Columns = Readonly<Record<string, readonly (number | null)[]>>;

export interface ValidationPoint {
  readonly step: number;
  /** Mean over the tokens of all domains; JSON has null for what is not finite. */
  readonly loss: number | null;
  readonly domains: readonly { readonly domain: string; readonly loss: number; readonly tokens: number }[];
}

export interface GenerationPoint {
  readonly time: number;
  readonly generation: number;
  readonly resumedFrom: number | null;
}

/**
 * The steps of a run, downsampled for drawing. Each group has its own rows: recorded ones, at the extremes of
 * its leading columns.
 */
export interface MetricsReply {
  /** Passed back as `after`, returns only later rows. */
  readonly cursor: string;
  /** Whether the rows replace the caller's; else they are appended. */
  readonly replaces: boolean;
  readonly numRows: number;
  /** False if the run did not record times of steps: they are then sums of step times. */
  readonly hasTimes: boolean;
  readonly firstStep: number | null;
  readonly lastStep: number | null;
  readonly groups: Readonly<Record<MetricsGroup, Columns>>;
  readonly layers: readonly number[];
  readonly parts: readonly string[];
  /** Complete in every reply. */
  readonly validations: readonly ValidationPoint[];
  readonly checkpoints: readonly { readonly step: number; readonly directory: string }[];
  readonly generations: readonly GenerationPoint[];
}

export type MetricsGroup = 'loss' | 'speed' | 'gradient' | 'routing' | 'memory';

/** Load of every expert over time. */
export interface ExpertsReply {
  readonly layers: readonly number[];
  readonly numExperts: number;
  /** First step of each bucket, and the step after the last bucket. */
  readonly edges: readonly number[];
  /** Kept choices, shape [layers, buckets, experts]. */
  readonly kept: readonly (readonly (readonly number[])[])[];
}

/** The activity of a rank over time. */
export interface RankLane {
  readonly rank: number;
  readonly node: number | null;
  /** Oldest first; step, phase and operation are those of the end. */
  readonly spans: readonly RankSpan[];
  /** When its step last changed. */
  readonly lastProgress: number | null;
  readonly lastStep: number | null;
}

export interface RankSpan {
  readonly from: number;
  readonly to: number;
  readonly activity: RankActivity;
  readonly step: number;
  readonly phase: string;
  readonly operation: string;
}

/**
 * Between two heartbeats. `training`: the step advanced. Otherwise `waiting`: in a collective; `working`:
 * outside of one. `stopped`: the process is suspended. `gone`: it has ended.
 */
export type RankActivity = 'starting' | 'training' | 'waiting' | 'working' | 'stopped' | 'gone';

export interface RanksReply {
  readonly ranks: readonly RankLane[];
  readonly generations: readonly GenerationPoint[];
}

/** What every rank did in one step. */
export interface TimelineReply {
  readonly step: number;
  readonly generation: number;
  /** Steps that there are timelines of, by generation. */
  readonly kept: readonly TracedSteps[];
  readonly clocks: readonly ClockOffset[];
  /** When the first rank began the step. */
  readonly startMs: number;
  /** All times of the lanes, and `endMs`, when the last rank ended the step, are in ms since `startMs`. */
  readonly endMs: number;
  readonly lanes: readonly TimelineLane[];
}

export interface ApiError {
  readonly error: string;
}
