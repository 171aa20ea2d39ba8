import type { RankView } from './run-listener.js';

/** A rank as it was when the run failed; `lastHeardMs` is from its last sign of life to the failure. */
export type RankAtFailure = Pick<
  RankView,
  'rank' | 'node' | 'step' | 'phase' | 'operation' | 'processState' | 'lastHeardMs'
>;

/** What `failure.json` says: why a generation of a run failed, and how to go on. Null where something does not apply. */
export interface FailureReport {
  /** Wall clock, ms since 1970. */
  readonly time: number;
  readonly generation: number;
  readonly code: string;
  readonly message: string;
  /** The process to blame: a worker, or without a rank the agent of `node`. */
  readonly rank: number | null;
  readonly node: number | null;
  readonly host: string | null;
  readonly pid: number | null;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly step: number | null;
  readonly layer: number | null;
  /** Phase and collective. */
  readonly operation: string | null;
  /** Folder of the checkpoint that the run goes on from. */
  readonly checkpoint: string | null;
  /** Folder of one that is passed over, because it leads to this failure again. */
  readonly suspectCheckpoint: string | null;
  readonly resumeCommand: string | null;
  readonly logsCommand: string;
  /** ms without a sign of life from a rank that others blame; null where it told of the failure itself. */
  readonly silentMs: number | null;
  readonly ranks: readonly RankAtFailure[];
}

/** A report as it is read again: an earlier version may have written it without some of its fields. */
export type StoredFailure = Unsure<Omit<FailureReport, 'ranks'>> & {
  readonly ranks?: readonly (Pick<RankAtFailure, 'rank'> & Unsure<RankAtFailure>)[] | null;
};

type Unsure<T> = { readonly [Field in keyof T]?: T[Field] | null };
