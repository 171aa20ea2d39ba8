/** A node of a generation. */
export interface JournalMember {
  readonly node: number;
  readonly host: string;
  readonly pid: number;
  /** Where it serves its peers, host:port. */
  readonly dataAddress: string;
}

/** What a generation starts from. */
export type JournalStart = {
  readonly kind: 'nothing' | 'checkpoint' | 'snapshot';
  /** Updates done there. */
  readonly step: number;
};

/** How a run came back after a failure; times in seconds. */
export interface RecoveryAccount {
  /** From the culprit's last sign of life, or the last step that all had done, to the failure. */
  readonly detectedS: number;
  /** From the failure to the begin of the training of the next generation. */
  readonly restartedS: number;
  /** Steps that were done and are done again, and the time that they had taken. */
  readonly lostSteps: number;
  readonly lostS: number;
}

/** Time that a failure cost: without it the run would be as far as it is by so many seconds earlier. */
export function lostSecondsOf({ detectedS, restartedS, lostS }: RecoveryAccount): number {
  return detectedS + restartedS + lostS;
}

/** An event in the life of a run that a coordinator must know to take the run over. */
export type JournalEvent =
  /** A coordinator process leads the run from here on; `term` counts such processes. */
  | { readonly type: 'lead'; readonly term: number; readonly pid: number; readonly host: string }
  | {
      readonly type: 'generation';
      readonly generation: number;
      readonly from: JournalStart;
      readonly nodes: number;
      readonly workersPerNode: number;
    }
  | {
      readonly type: 'members';
      readonly generation: number;
      readonly members: readonly JournalMember[];
    }
  /** All workers were told to begin. */
  | { readonly type: 'running'; readonly generation: number }
  /** A checkpoint was committed. */
  | { readonly type: 'committed'; readonly generation: number; readonly step: number }
  | {
      readonly type: 'failure';
      readonly generation: number;
      readonly code: string;
      readonly message: string;
      readonly rank: number | null;
      readonly node: number | null;
      readonly step: number | null;
    }
  | ({ readonly type: 'recovered'; readonly generation: number } & RecoveryAccount)
  | { readonly type: 'end'; readonly state: 'finished' | 'stopped' | 'failed'; readonly exitCode: number };

/** `time` is the wall clock in ms since 1970. */
export type JournalEntry = JournalEvent & { readonly time: number };
