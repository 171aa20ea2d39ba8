import {
  type JournalEntry,
  type JournalStart,
  lostSecondsOf,
  type RecoveryAccount,
  type RecoveryBill,
} from './journal-events.js';

/** A generation of a run, reconstructed from its journal. */
export interface RunGeneration {
  readonly generation: number;
  readonly from: JournalStart;
  readonly nodes: number;
  readonly workersPerNode: number;
  /** Start of the generation, ms since 1970. */
  readonly beganAtMs: number;
  /** Start of training; null if the generation has not trained. */
  readonly trainedAtMs: number | null;
  /** End of the generation; null while it is running, or if its coordinator died unexpectedly. */
  readonly endedAtMs: number | null;
  /** The last step that all ranks had done, if a later generation resumed; otherwise null. */
  readonly lastStep: number | null;
  /**
   * `open`: the generation is running, or its coordinator died unexpectedly; `lost`: the coordinator died,
   * and a later generation resumed.
   */
  readonly end: 'open' | 'lost' | 'restarted' | 'failed' | 'finished' | 'stopped';
  /** Why the generation failed; null if it did not. */
  readonly failure: Pick<
    JournalEntry & { type: 'failure' },
    'time' | 'code' | 'message' | 'rank' | 'node' | 'step'
  > | null;
  /** How the run recovered with this generation after earlier ones had failed; null if it did not. */
  readonly recovery: RecoveryAccount | null;
  /** Says what that recovery spent its time on; null before its first new step, and in runs of earlier versions. */
  readonly bill: RecoveryBill | null;
}

type Mutable<T> = { -readonly [Field in keyof T]: T[Field] };

/** Returns the generations of a run, oldest first. */
export function generationsOf(journal: readonly JournalEntry[]): RunGeneration[] {
  const generations: Mutable<RunGeneration>[] = [];
  /** The last generation that trained. */
  let trained: Mutable<RunGeneration> | null = null;
  for (const entry of journal) {
    const last = generations.at(-1);
    switch (entry.type) {
      case 'generation': {
        if (last?.generation === entry.generation) break;
        if (last?.end === 'open') last.end = last.failure === null ? 'lost' : 'restarted';
        const { generation, from, nodes, workersPerNode, time } = entry;
        generations.push({
          generation,
          from,
          nodes,
          workersPerNode,
          beganAtMs: time,
          trainedAtMs: null,
          endedAtMs: null,
          lastStep: null,
          end: 'open',
          failure: null,
          recovery: null,
          bill: null,
        });
        break;
      }
      case 'running':
        if (last !== undefined) last.trainedAtMs ??= entry.time;
        break;
      case 'recovered': {
        if (last === undefined) break;
        const { detectedS, restartedS, lostSteps, lostS } = entry;
        last.recovery = { detectedS, restartedS, lostSteps, lostS };
        if (trained !== null) trained.lastStep = last.from.step + lostSteps;
        break;
      }
      case 'bill': {
        const { outageS, slowest, ranksS } = entry;
        if (last !== undefined) last.bill = { outageS, slowest, ranksS };
        break;
      }
      case 'failure': {
        if (last === undefined) break;
        const { time, code, message, rank, node, step } = entry;
        last.failure = { time, code, message, rank, node, step };
        last.endedAtMs = time;
        break;
      }
      case 'end':
        if (last === undefined) break;
        last.end = entry.state;
        last.endedAtMs ??= entry.time;
    }
    if (last !== undefined && last.trainedAtMs !== null && entry.type === 'failure') trained = last;
  }
  return generations;
}

/** Costs of the restarts of a run. */
export interface RestartCosts {
  readonly restarts: number;
  readonly lostSteps: number;
  readonly lostSeconds: number;
}

export function restartCostsOf(generations: readonly RunGeneration[]): RestartCosts {
  const accounts = generations.flatMap(({ recovery }) => recovery ?? []);
  return {
    restarts: generations.filter(({ end }) => end === 'restarted').length,
    lostSteps: accounts.reduce((sum, { lostSteps }) => sum + lostSteps, 0),
    lostSeconds: accounts.reduce((sum, account) => sum + lostSecondsOf(account), 0),
  };
}
