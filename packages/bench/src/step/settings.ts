/** Overrides without which the peer cannot train the same: it implements `switch`, and no query layer or level 1. */
export const PEER_SETTINGS = [
  'model.queryLayer=false',
  'moe.expertGroups=1',
  'data.placement=mixed',
  'moe.router=switch',
] as const;

/**
 * A run of `steps` steps with as little other work as possible. It keeps the warm-up of the recipe: at the
 * full learning rate from the start, a gate sends all tokens to one expert, which drops them.
 */
export function lengthSettings(steps: number): string[] {
  return [
    `train.steps=${steps}`,
    `train.validateEvery=${steps}`,
    'train.validationSequences=1',
    `train.checkpointEvery=${steps}`,
    // A snapshot would weigh as much here as in a hundred steps of a long run.
    'train.snapshotEvery=0',
    'train.keepCheckpoints=1',
  ];
}
