import type { FailureReport } from '@locmoe/run-format/failure-report';
import type { RestartCosts, RunGeneration } from '@locmoe/run-format/run-generations';
import type { ValidationPoint } from './api-moments.js';

/** JSON of the routes under `/api`. Times are in ms since 1970. */
export type * from './api-moments.js';
export type * from './api-routes.js';

export interface RunListItem {
  readonly runId: string;
  /** State in run.json; `dead` if the coordinator is gone without having ended the run. */
  readonly state: string;
  readonly isLive: boolean;
  /**
   * Since when the disk has been too full for the run's records; null if all are written or if another
   * process coordinates the run.
   */
  readonly notRecordingSince: number | null;
  readonly startedAt: string;
  /**
   * When the last generation ended; null while the run is live. The run took from `startedAt` to `endedAt`.
   */
  readonly endedAt: number | null;
  readonly generation: number;
  /** The last step; before the first step of a generation, the step from which the generation starts. */
  readonly step: number;
  readonly steps: number | null;
  readonly loss: number | null;
  readonly recipe: string | null;
  readonly router: string | null;
  /** Nodes x workers per node. */
  readonly layout: string | null;
}

export interface RunList {
  /** Ordered by the time of the last start or resumption, newest first. */
  readonly runs: readonly RunListItem[];
  /** The run that this server coordinates or was started to show: the page's default; null for none. */
  readonly own: string | null;
}

export interface RunDetail extends RunListItem, RestartCosts {
  readonly directory: string;
  /** Version of the coordinator's program; null for a run of an earlier version. */
  readonly version: string | null;
  readonly host: string | null;
  /** Whether the server of the page is the run's coordinator, and so ends with the run. */
  readonly isServedByCoordinator: boolean;
  readonly commands: RunCommands;
  readonly config: Readonly<Record<string, unknown>> | null;
  /** Says what the model computes; null if its configuration cannot be read, or its router may not run here. */
  readonly outline: string | null;
  readonly summary: Readonly<Record<string, unknown>> | null;
  readonly failure: FailureReport | null;
  /** Number of restarts that a live run has left; null for a run that is over. */
  readonly restartsLeft: number | null;
  /** The generations, oldest first; empty for a run of an earlier version. */
  readonly generations: readonly RunGeneration[];
}

/** Command lines for a shell in the directory where the server was started. */
export interface RunCommands {
  readonly inspect: string;
  /** Command that resumes the run; null if there is no checkpoint to resume from. */
  readonly resume: string | null;
  readonly flight: string;
}

/** Columns of equal length by name; null where a row has no value. */
export type Columns = Readonly<Record<string, readonly (number | null)[]>>;

export interface GenerationPoint {
  readonly time: number;
  readonly generation: number;
  readonly resumedFrom: number | null;
  /** Time of the last record of the generation. */
  readonly lastTime: number;
}

/**
 * The steps of a run, downsampled for drawing. Each group has its own rows: the recorded rows at the extremes
 * of its leading columns or, for the stacked groups `parts` and `places`, means over buckets of steps.
 */
export interface MetricsReply {
  /** Cursor: if it is passed back as `after`, only later rows are returned. */
  readonly cursor: string;
  /** Whether the rows, validations and checkpoints replace the caller's; else they are appended. */
  readonly replaces: boolean;
  /**
   * Progress of reading the metrics, which takes long only once, without an index; null when all are read.
   */
  readonly reading: { readonly bytes: number; readonly ofBytes: number } | null;
  readonly numRows: number;
  /** False if the run did not record times of steps; the times are then sums of step durations. */
  readonly hasTimes: boolean;
  readonly firstStep: number | null;
  readonly lastStep: number | null;
  /**
   * Wall-clock speed over the generation's last steps, as the trainer reports it; null before the second
   * step.
   */
  readonly speed: { readonly tokensPerS: number; readonly secondsPerStep: number } | null;
  readonly groups: Readonly<Record<MetricsGroup, Columns>>;
  readonly layers: readonly number[];
  readonly parts: readonly string[];
  readonly validations: readonly ValidationPoint[];
  readonly checkpoints: readonly { readonly step: number; readonly directory: string }[];
  /** Generations; complete in every reply. */
  readonly generations: readonly GenerationPoint[];
  /**
   * First and last step of each range of steps whose update was skipped because a value was not finite.
   * Complete in every reply.
   */
  readonly skipped: readonly (readonly [from: number, to: number])[];
}

export type MetricsGroup =
  | 'loss'
  | 'rates'
  | 'speed'
  | 'parts'
  | 'gradient'
  | 'routing'
  | 'places'
  | 'memory';

/** Load of the experts over time, in buckets of steps of equal width. */
export interface ExpertsReply {
  /** Cursor: if passed back as `after` with the same layers, only buckets that have changed are returned. */
  readonly cursor: string;
  readonly layers: readonly number[];
  readonly numExperts: number;
  /** First step with data; null before the first step. */
  readonly firstStep: number | null;
  readonly lastStep: number;
  readonly stepsPerBucket: number;
  /** Index of the first bucket of this reply; 0 replaces all. */
  readonly firstBucket: number;
  /** Load of the most loaded expert over a fair share, shape [layers, buckets]. */
  readonly most: readonly (readonly number[])[];
  /** Greatest demand over a fair share, of the same shape: all choices that fell on an expert, kept or dropped. */
  readonly mostRouted: readonly (readonly number[])[];
  /** Share of the choices that were dropped, shape [layers, buckets]. */
  readonly dropped: readonly (readonly number[])[];
  /** Layers reported per expert: the requested ones or, if none was requested, all of a small model. */
  readonly openLayers: readonly number[];
  /** Kept choices, shape [open layers, buckets, experts]. */
  readonly kept: readonly (readonly (readonly number[])[])[];
  /** All choices, of the same shape. */
  readonly routed: readonly (readonly (readonly number[])[])[];
  /** Bytes by link; null if a run has only one rank or too many nodes, or did not record links. */
  readonly links: LinksReply | null;
}

/** Bytes of token rows by link. */
export interface LinksReply {
  readonly between: 'ranks' | 'nodes';
  readonly numNodes: number;
  /** Mean over the steps of each bucket, shape [buckets, from, to]; null for a bucket without records. */
  readonly bytes: readonly (readonly (readonly number[])[] | null)[];
}

export interface RankLane {
  readonly rank: number;
  readonly node: number | null;
  /** Spans, oldest first; the step, phase and operation of a span are those at its end. */
  readonly spans: readonly RankSpan[];
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
 * Activity of a rank between two heartbeats. `training`: the step advanced. Otherwise `waiting`: the rank was
 * in a collective; `working`: it was outside any collective. `stopped`: the process was suspended. `gone`: it
 * had ended.
 */
export type RankActivity = 'starting' | 'training' | 'waiting' | 'working' | 'stopped' | 'gone';

export interface RanksReply {
  /**
   * If passed back as `after`, only spans that are new or longer are returned; each rank is in every reply.
   */
  readonly cursor: string;
  /**
   * Whether the spans replace all of the caller's; otherwise they replace only those that begin no earlier.
   */
  readonly replaces: boolean;
  readonly ranks: readonly RankLane[];
  readonly generations: readonly GenerationPoint[];
}

export interface SpeedsReply {
  /** Speeds at the last heartbeat; empty for a run that did not record them. */
  readonly speeds: readonly RankSpeedPoint[];
}

export interface RankSpeedPoint {
  readonly rank: number;
  /** Median over the last steps of the rank's own part of a step, without waiting for other ranks, in ms. */
  readonly ownMs: number;
  /** Share of the steps' time that would be saved if it were as fast as the next slowest. */
  readonly lostShare: number;
}

export interface ApiError {
  readonly error: string;
}
