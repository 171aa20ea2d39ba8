/**
 * Tolerance of losses in nats, by precision: another order of float32 sums causes about 1e-6; bfloat16 rounds
 * operands to eight bits.
 */
export const TOLERANCE = { float32: 1e-3, bfloat16: 3e-2 } as const;

/** Two programs that should do the same training differ; the message says where. */
export class NotTheSame extends Error {
  override readonly name = 'NotTheSame';
}

/**
 * Returns the maximum difference between the losses of two programs, step by step.
 *
 * @param names of what is compared, and of the two programs
 *
 * @throws NotTheSame naming the first step at which they differ by more than `tolerance`
 */
export function assertSameLosses(
  [name, ofOwn, ofOther]: readonly [comparison: string, own: string, other: string],
  own: readonly number[],
  peer: readonly number[],
  tolerance: number,
): number {
  if (own.length !== peer.length)
    throw new NotTheSame(
      `${name}: ${ofOwn} did ${own.length} steps, ${ofOther} ${peer.length}; nothing is timed`,
    );
  const differences = own.map((loss, i) => Math.abs(loss - peer[i]!));
  const first = differences.findIndex((difference) => !(difference <= tolerance));
  if (first >= 0)
    throw new NotTheSame(
      `${name}: the losses differ at step ${first + 1}, of ${ofOwn} ${own[first]!.toFixed(5)}, of ${ofOther} ${peer[first]!.toFixed(5)} (${tolerance} is allowed): the programs do not do the same work, so nothing is timed`,
    );
  return Math.max(...differences);
}

/**
 * Overrides without which the peer cannot do the same training: it implements the family `pangu-sigma` with plain
 * `switch`, and neither a query layer nor level 1. The last overrides, which `switch` does not read, configure `locmoe-plus` as in
 * its paper; it runs beside both.
 */
export const PEER_SETTINGS = [
  'model.family=pangu-sigma',
  'model.numKeyValueHeads=null',
  'model.queryLayer=false',
  'moe.expertGroups=1',
  'data.placement=mixed',
  'train.precision=float32',
  'moe.router=switch',
  'moe.expertsPerToken=1',
  'moe.capacityFactor=1.25',
  'moe.zLossWeight=0',
  'moe.tokenPreference=0',
  'moe.dFeedForward=null',
  'moe.sharedExperts=0',
  'moe.sharedExpertGate=false',
  'moe.maxExpertsPerToken=4',
  'moe.temperature=1',
  'moe.affinityShare=0.4',
  'moe.choiceWeights=softmax',
] as const;

/**
 * Returns the overrides for a run of `steps` steps with as little other work as possible. They keep the warm-up of the
 * recipe: at the full learning rate from the start, a gate sends all tokens to one expert, which drops them.
 */
export function lengthSettings(steps: number): string[] {
  return [
    `train.steps=${steps}`,
    `train.validateEvery=${steps}`,
    'train.validationSequences=1',
    `train.checkpointEvery=${steps}`,
    // In such a short run, a snapshot would weigh as much as in a hundred training steps of a long one.
    'train.snapshotEvery=0',
    'train.keepCheckpoints=1',
  ];
}
