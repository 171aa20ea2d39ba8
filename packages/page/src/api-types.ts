import type { StoredFailure } from 'locmoe/run/failure-report';

/** What the page's server and its scripts say to each other: JSON under `/api`. Times are in ms since 1970. */

/** `dead`: its record says that it goes on, but the process that led it is gone. */
export type RunStateName = string;

/** A run in the listing, newest first. */
export interface RunListItem {
  readonly runId: string;
  readonly state: RunStateName;
  readonly isLive: boolean;
  readonly startedAt: string;
  readonly generation: number;
  /** 0 before the first. */
  readonly step: number;
  readonly steps: number | null;
  readonly loss: number | null;
}

export interface RunList {
  readonly runs: readonly RunListItem[];
}

/** One run: what its folder says of it beside metrics and logs. */
export interface RunDetail extends RunListItem {
  readonly directory: string;
  readonly endedAt: number | null;
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly summary: Readonly<Record<string, unknown>> | null;
  readonly failure: StoredFailure | null;
}

/** Numbers by name, all columns of one length; null where a row has no value. */
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
 * The steps of a run, thinned out for drawing. Each group has rows of its own: those where its leading columns have
 * their extremes, as they were recorded, so that `step` and every value of a row belong together.
 */
export interface MetricsReply {
  /** Give it back as `after` to get only what came later. */
  readonly cursor: string;
  /** False if the rows come after those that the caller has; true if they take their place. */
  readonly replaces: boolean;
  readonly numRows: number;
  /** False if times of steps are only reckoned, because the run did not record them. */
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
  /** First step of each bucket; one more entry than buckets, the last is the step after the end. */
  readonly edges: readonly number[];
  /** By layer, then bucket, then expert: choices that were kept. */
  readonly kept: readonly (readonly (readonly number[])[])[];
}

/** What a rank did between heartbeats, oldest first. */
export interface RankLane {
  readonly rank: number;
  readonly node: number | null;
  /** Spans in which nothing changed but the step: from, to, what. */
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
 * `training`: its step went on. `waiting`: in a collective, and its step did not. `working`: outside of one, and its step
 * did not. `stopped`: the process is suspended. `gone`: the process has ended.
 */
export type RankActivity = 'starting' | 'training' | 'waiting' | 'working' | 'stopped' | 'gone';

export interface RanksReply {
  readonly ranks: readonly RankLane[];
  readonly generations: readonly GenerationPoint[];
}

export interface ApiError {
  readonly error: string;
}
