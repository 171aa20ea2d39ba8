import { rankProgram } from '@locmoe/test-kit';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { asTrainerError } from '../../src/errors.js';
import { armFailpoint } from '../../src/failpoint.js';
import { saveOptions, tensorsOf } from './fixture.js';

export interface SaveArgs {
  readonly root: string;
  /** A rank whose tensors hold a NaN at step 2, one whose disk is another at step 3, one that is killed at step 4. */
  readonly nanOnRank: number;
  readonly unsharedRank: number;
  readonly killedRank: number;
}

/** Saves steps 1 to 4 and returns, for each, the folder or the error. */
rankProgram((transport, { root, nanOnRank, unsharedRank, killedRank }: SaveArgs): string[] => {
  const { rank, worldSize } = transport.topology;
  return [1, 2, 3, 4].map((step) => {
    const tensors = tensorsOf(rank, worldSize, step);
    if (step === 2 && rank === nanOnRank) tensors.experts[0].data[5] = Number.NaN;
    if (step === 4 && rank === killedRank) armFailpoint('checkpoint.shard');
    const disk = step === 3 && rank === unsharedRank ? `${root}-elsewhere` : root;
    try {
      return saveCheckpoint(transport, saveOptions(disk, step, tensors));
    } catch (error) {
      const { code, line } = asTrainerError(error);
      return `${code} ${line}`;
    }
  });
});
