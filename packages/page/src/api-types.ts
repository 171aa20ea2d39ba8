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
  /** Since when the disk has been too full for its records; null while all are written, and where another process leads it. */
  readonly notRecordingSince: number | null;
  readonly startedAt: string;
  /** When its last generation ended; null while it is live. What a run took is the time between the two. */
  readonly endedAt: number | null;
  readonly generation: number;
  /** Where its generation starts, before the first step of that. */
  readonly step: number;
  readonly steps: number | null;
  readonly loss: number | null;
  readonly recipe: string | null;
  readonly router: string | null;
  /** Nodes x workers of each. */
  readonly layout: string | null;
}

export interface RunList {
  /** The one that was started or resumed last first. */
  readonly runs: readonly RunListItem[];
  /** The run that this server leads or was started to show, and shows unless another is asked for; null for none. */
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
  readonly summary: Readonly<Record<string, unknown>> | null;
  readonly failure: FailureReport | null;
  /** Restarts that a live run has left now; null for one that is over. */
  readonly restartsLeft: number | null;
  /** Oldest first; none of a run of an earlier version. */
  readonly generations: readonly RunGeneration[];
}

/** Command lines for a shell in the directory where the server was started. */
export interface RunCommands {
  readonly inspect: string;
  /** Null if there is no checkpoint to go on from. */
  readonly resume: string | null;
  readonly flight: string;
}

/** Columns of equal length by name; null where a row has no value. */
export type Columns = Readonly<Record<string, readonly (number | null)[]>>;

export interface GenerationPoint {
  readonly time: number;
  readonly generation: number;
  readonly resumedFrom: number | null;
  /** Time of its last record. */
  readonly lastTime: number;
}

/**
 * The steps of a run, downsampled for drawing. Each group has its own rows: recorded ones, at the extremes of
 * its leading columns; those of `parts` and `places`, which are stacked, are means over buckets of steps.
 */
export interface MetricsReply {
  /** Passed back as `after`, returns only later rows. */
  readonly cursor: string;
  /** Whether the rows, validations and checkpoints replace the caller's; else they are appended. */
  readonly replaces: boolean;
  /** How far the metrics have been read while that takes long, as once without an index; null once all are. */
  readonly reading: { readonly bytes: number; readonly ofBytes: number } | null;
  readonly numRows: number;
  /** False if the run did not record times of steps: they are then sums of step times. */
  readonly hasTimes: boolean;
  readonly firstStep: number | null;
  readonly lastStep: number | null;
  /** Over the last steps of its generation, by wall clock, as the trainer tells it; null before the second. */
  readonly speed: { readonly tokensPerS: number; readonly secondsPerStep: number } | null;
  readonly groups: Readonly<Record<MetricsGroup, Columns>>;
  readonly layers: readonly number[];
  readonly parts: readonly string[];
  readonly validations: readonly ValidationPoint[];
  readonly checkpoints: readonly { readonly step: number; readonly directory: string }[];
  /** Complete in every reply. */
  readonly generations: readonly GenerationPoint[];
  /** First and last step of each range whose update was skipped as something was not finite. Complete in every reply. */
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
  /** Passed back as `after` with the same layers, returns only buckets that have changed. */
  readonly cursor: string;
  readonly layers: readonly number[];
  readonly numExperts: number;
  /** Null before the first step. */
  readonly firstStep: number | null;
  readonly lastStep: number;
  readonly stepsPerBucket: number;
  /** Index of the first bucket of this reply; 0 replaces all. */
  readonly firstBucket: number;
  /** Load of the most loaded expert over a fair share, shape [layers, buckets]. */
  readonly most: readonly (readonly number[])[];
  /** The same of demand: the choices that fell on an expert, whether it took them or not. */
  readonly mostRouted: readonly (readonly number[])[];
  /** Share of the choices that were dropped, shape [layers, buckets]. */
  readonly dropped: readonly (readonly number[])[];
  /** The layers whose experts are told apart: those asked for or, if none was, all of a small model. */
  readonly openLayers: readonly number[];
  /** Kept choices, shape [open layers, buckets, experts]. */
  readonly kept: readonly (readonly (readonly number[])[])[];
  /** All choices, of the same shape. */
  readonly routed: readonly (readonly (readonly number[])[])[];
  /** Null of a run of one rank, one that did not record them, or one of many nodes. */
  readonly links: LinksReply | null;
}

/** Bytes of rows of tokens by link. */
export interface LinksReply {
  readonly between: 'ranks' | 'nodes';
  readonly numNodes: number;
  /** Mean of the steps of a bucket, from each (first index) to each, by bucket; null where nothing was recorded. */
  readonly bytes: readonly (readonly (readonly number[])[] | null)[];
}

export interface RankLane {
  readonly rank: number;
  readonly node: number | null;
  /** Oldest first; step, phase and operation are those of the end. */
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
 * Between two heartbeats. `training`: the step advanced. Otherwise `waiting`: in a collective; `working`:
 * outside of one. `stopped`: the process is suspended. `gone`: it has ended.
 */
export type RankActivity = 'starting' | 'training' | 'waiting' | 'working' | 'stopped' | 'gone';

export interface RanksReply {
  /** Passed back as `after`, returns only spans that are new or longer; each rank is in every reply. */
  readonly cursor: string;
  /** Whether the spans replace the caller's; else they replace those that begin no earlier than they do. */
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
  /** Median over the last steps, in ms, of its own part of a step: without waiting for others. */
  readonly ownMs: number;
  /** Share of the steps' time that would be saved if it were as fast as the next slowest. */
  readonly lostShare: number;
}

export interface ApiError {
  readonly error: string;
}
