import { checkpointsAreWhole, checkpointsLoad } from './checkpoints.js';
import type { RunEvidence } from './evidence.js';
import { nothingFromOlderGenerations, oneGenerationAtATime } from './generations.js';
import { lossesAreThoseOfTheTwin, stepsAreContiguous } from './lineage.js';
import { tokensAreConserved } from './routing.js';
import { culpritsAreNamed, exitCodesAreAsSpecified } from './verdicts.js';

interface Invariant {
  readonly promise: string;
  /** Whether there is evidence to check it on; always if left out. */
  readonly canBeChecked?: (evidence: RunEvidence) => boolean;
  /** Returns what violates it, in words. */
  readonly violations: (evidence: RunEvidence) => readonly string[];
}

/** Runs of earlier versions have none. */
function hasJournal({ journal }: RunEvidence): boolean {
  return journal.length > 0;
}

/** Invariants of every run, whatever happens to it. */
export const INVARIANTS: Readonly<Record<string, Invariant>> = {
  I1: {
    promise: 'one generation at a time',
    canBeChecked: hasJournal,
    violations: oneGenerationAtATime,
  },
  I2: {
    promise: 'nothing is taken from an older generation',
    canBeChecked: hasJournal,
    violations: nothingFromOlderGenerations,
  },
  I3: { promise: 'committed steps are contiguous, each done once', violations: stepsAreContiguous },
  I4: { promise: 'committed checkpoints load', violations: checkpointsLoad },
  I5: { promise: 'checkpoints are whole, and ranks agree', violations: checkpointsAreWhole },
  I6: { promise: 'no token is lost', violations: tokensAreConserved },
  I7: {
    promise: 'losses are those of a run without faults',
    canBeChecked: ({ twin }) => twin !== null,
    violations: lossesAreThoseOfTheTwin,
  },
  I8: {
    promise: 'nothing is left behind',
    canBeChecked: ({ leftovers }) => leftovers !== null,
    violations: ({ leftovers }) => (leftovers ?? []).map((each) => `${each} is left`),
  },
  I9: { promise: 'the culprit is named', canBeChecked: hasJournal, violations: culpritsAreNamed },
  I10: {
    promise: 'the exit code is as specified',
    canBeChecked: ({ journal, exitCode }) => exitCode !== null || journal.at(-1)?.type === 'end',
    violations: exitCodesAreAsSpecified,
  },
};

export interface Verdict {
  /** Names of the invariants that could be checked. */
  readonly checked: readonly string[];
  /** Violations in words, each behind the name of its invariant. */
  readonly violations: readonly string[];
}

/** Checks all invariants that there is evidence for. */
export function checkInvariants(evidence: RunEvidence): Verdict {
  const checked = Object.entries(INVARIANTS).filter(
    ([, { canBeChecked }]) => canBeChecked?.(evidence) ?? true,
  );
  return {
    checked: checked.map(([name]) => name),
    violations: checked.flatMap(([name, { violations }]) =>
      violations(evidence).map((each) => `${name}: ${each}`),
    ),
  };
}
