import { heldExperts } from '../../routing/domain-groups.js';
import type { CheckpointEvidence, RunEvidence } from './evidence.js';

/** I4: every committed checkpoint loads with its hashes, but for those that were damaged on purpose. */
export function checkpointsLoad({ checkpoints, faults, journal }: RunEvidence): string[] {
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

/** I5: every checkpoint has every tensor of the model once, the same ones as the others. */
export function checkpointsAreWhole({ checkpoints, config }: RunEvidence): string[] {
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
