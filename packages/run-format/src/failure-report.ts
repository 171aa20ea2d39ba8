/** A rank when the run failed. */
export interface RankAtFailure {
  readonly rank: number;
  readonly node: number;
  readonly step: number;
  readonly phase: string;
  readonly operation: string;
  readonly processState: string;
  /** From its last sign of life to the failure. */
  readonly lastHeardMs: number;
}

/**
 * `failure.json`: why a generation of a run failed, and how to resume. Fields are null where they do not
 * apply.
 */
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
  /** Folder of the checkpoint to resume from. */
  readonly checkpoint: string | null;
  /** Folder of a checkpoint that is passed over because it would lead to this failure again. */
  readonly suspectCheckpoint: string | null;
  readonly resumeCommand: string | null;
  /** Why the run was not restarted, if restarts were allowed. */
  readonly notRestarted: string | null;
  readonly logsCommand: string;
  /** ms of silence of a rank that others blame; null if it reported the failure itself. */
  readonly silentMs: number | null;
  readonly ranks: readonly RankAtFailure[];
}

/** A report as read from disk: an earlier version may have written it without some fields. */
export type StoredFailure = Unsure<Omit<FailureReport, 'ranks'>> & {
  readonly ranks?: readonly (Pick<RankAtFailure, 'rank'> & Unsure<RankAtFailure>)[] | null;
};

const UNKNOWN: FailureReport = {
  time: 0,
  generation: 0,
  code: 'INTERNAL',
  message: 'its record does not say why',
  logsCommand: '',
  rank: null,
  node: null,
  host: null,
  pid: null,
  exitCode: null,
  signal: null,
  step: null,
  layer: null,
  operation: null,
  silentMs: null,
  checkpoint: null,
  suspectCheckpoint: null,
  resumeCommand: null,
  notRestarted: null,
  ranks: [],
};

/** The report with what an earlier version left out. */
export function wholeReport(stored: StoredFailure): FailureReport {
  const known = Object.fromEntries(Object.entries(stored).filter(([, value]) => value !== null));
  const ranks = (Array.isArray(stored.ranks) ? stored.ranks : []).map(
    (rank): RankAtFailure => ({
      rank: rank.rank,
      node: rank.node ?? 0,
      step: rank.step ?? 0,
      phase: rank.phase ?? '',
      operation: rank.operation ?? '',
      processState: rank.processState ?? '',
      lastHeardMs: rank.lastHeardMs ?? 0,
    }),
  );
  return { ...UNKNOWN, ...known, ranks };
}

type Unsure<T> = { readonly [Field in keyof T]?: T[Field] | null };
