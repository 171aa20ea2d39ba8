import { formatDuration, formatNumberOf, formatTable } from 'locmoe/internal/format';
import { mean } from '../statistics.js';
import type { Kind } from './jobs.js';

/** The runs of a kind: what is done, and what is to do. */
export interface PlannedRuns {
  readonly kind: Kind;
  /** What a run is: steps, tokens, layouts. */
  readonly what: string;
  readonly numKept: number;
  readonly numMissing: number;
  /** Seconds that each run took that was made on this machine. */
  readonly tookS: readonly number[];
  /** Seconds of a run, extrapolated from a few steps; null if these were not made. */
  readonly guessS: number | null;
}

/** Seconds that a run of this kind will take: as those before, else as guessed; null if nothing is known. */
function expectedS({ tookS, guessS }: Pick<PlannedRuns, 'tookS' | 'guessS'>): number | null {
  return tookS.length > 0 ? mean(tookS) : guessS;
}

/** Seconds until all runs are done; null if nothing is known of some. */
export function secondsLeft(plan: readonly PlannedRuns[]): number | null {
  return plan.reduce<number | null>((sum, runs) => {
    if (runs.numMissing === 0) return sum;
    const each = expectedS(runs);
    return sum === null || each === null ? null : sum + each * runs.numMissing;
  }, 0);
}

/** "2h05m", or "?" if it is not known. */
export function durationLabel(seconds: number | null): string {
  return seconds === null ? '?' : formatDuration(seconds);
}

/** What there is to do, and how long it takes: a line for each kind of run, and one for all. */
export function planText(plan: readonly PlannedRuns[]): string {
  const numRuns = (runs: PlannedRuns) => runs.numKept + runs.numMissing;
  const sum = (of: (runs: PlannedRuns) => number) => plan.reduce((total, runs) => total + of(runs), 0);
  const numKept = sum((runs) => runs.numKept);
  const took = (seconds: readonly number[]) => (seconds.length === 0 ? '' : formatDuration(mean(seconds)));
  return [
    `${formatNumberOf(sum(numRuns), 'run')}, ${numKept} of them kept from before`,
    formatTable(
      [
        ['', 'each is', 'runs', 'kept', 'each took', 'to do', 'each takes', 'in all'],
        ...plan.map((runs) => [
          runs.kind,
          runs.what,
          String(numRuns(runs)),
          String(runs.numKept),
          took(runs.tookS),
          String(runs.numMissing),
          durationLabel(expectedS(runs)),
          durationLabel(secondsLeft([runs])),
        ]),
        [
          'total',
          '',
          String(sum(numRuns)),
          String(numKept),
          '',
          String(sum(({ numMissing }) => numMissing)),
          '',
          durationLabel(secondsLeft(plan)),
        ],
      ],
      { textColumns: [1] },
    ),
  ].join('\n');
}
