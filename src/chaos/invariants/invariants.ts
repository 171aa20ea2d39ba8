import { heldExperts } from '../../routing/groups/domain-groups.js';
import { type CheckpointEvidence, type RunEvidence, stepsOf } from './evidence.js';
import { nothingFromOlderGenerations, oneGenerationAtATime } from './generations.js';
import { lossesAreThoseOfTheTwin, stepsAreContiguous } from './lineage.js';
import { culpritsAreNamed, exitCodesAreAsSpecified } from './verdicts.js';

interface Invariant {
  readonly promise: string;
  /** Tells whether there is evidence to check the invariant on; by default there always is. */
  readonly canBeChecked?: (evidence: RunEvidence) => boolean;
  /** Returns the violations, in words. */
  readonly violations: (evidence: RunEvidence) => readonly string[];
}

/** Tells whether the run kept a journal, as runs of earlier versions did not. */
function hasJournal({ journal }: RunEvidence): boolean {
  return journal.length > 0;
}

/** Invariants of every run, whatever happens to the run. */
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

/** I4: every committed checkpoint loads with its hashes, except those that were damaged on purpose. */
function checkpointsLoad({ checkpoints, faults, journal }: RunEvidence): string[] {
  const damaged = faults.flatMap(({ damaged: each }) => each ?? []);
  const isDamaged = ({ folder, generation }: CheckpointEvidence) =>
    damaged.some((each) => each.folder === folder && (generation === null || each.generation === generation));
  const violations = checkpoints
    .filter((each) => each.problem !== null && !isDamaged(each))
    .map(({ folder, problem }) => `${folder} does not load: ${problem}`);
  const committed = journal.some(({ type }) => type === 'committed');
  if (committed && !checkpoints.some(({ problem }) => problem === null))
    violations.push('checkpoints were committed, and none is there that loads');
  return violations;
}

/** I5: every checkpoint has every tensor of the model once, and all checkpoints have the same tensors. */
function checkpointsAreWhole({ checkpoints, config }: RunEvidence): string[] {
  const sound = checkpoints.filter(({ problem }) => problem === null);
  const all = new Set(sound.flatMap(({ tensors }) => tensors));
  const violations = sound.flatMap(({ folder, tensors }) => {
    const there = new Set(tensors);
    const missing = [...all].filter((tensor) => !there.has(tensor));
    return missing.length === 0 ? [] : [`${folder} lacks ${missing.length} tensors, such as ${missing[0]}`];
  });
  if (config === null || sound.length === 0) return violations;
  const { first, count } = heldExperts(config.moe);
  for (let expert = first; expert < first + count; expert++)
    if (![...all].some((name) => name.includes(`experts.${expert}.`)))
      violations.push(`no rank has saved expert ${expert}`);
  return violations;
}

/** I6: at every expert, each routed token was kept or counted as dropped; all kept tokens are counted as sent. */
function tokensAreConserved({ records }: RunEvidence): string[] {
  return stepsOf(records).flatMap(({ step, layers }) =>
    layers.flatMap(({ layer, routed, kept, overCapacity, notChosen, sameWorker, sameNode, otherNode }) => {
      const place = `step ${step}, layer ${layer}`;
      const expert = routed.findIndex((each, i) => each !== kept[i]! + overCapacity[i]! + notChosen[i]!);
      const total = kept.reduce((sum, each) => sum + each, 0);
      const travelled = sameWorker + sameNode + otherNode;
      return [
        ...(expert < 0
          ? []
          : [
              `${place}, expert ${expert}: ${routed[expert]} routed, ${kept[expert]} kept, ${overCapacity[expert]} over capacity, ${notChosen[expert]} not chosen`,
            ]),
        ...(travelled === total ? [] : [`${place}: ${total} kept, and ${travelled} travelled`]),
      ];
    }),
  );
}
