// A rank that saves steps 1 to 4 as a worker does, with the test's process in the place of agent and coordinator.

import { soloTransport } from '../../src/collectives/solo-transport.js';
import { topologyOf } from '../../src/collectives/topology.js';
import { asTrainerError } from '../../src/errors.js';
import { CheckpointSaver } from '../../src/worker/checkpoint-saver.js';
import type { SaveCommand, WorkerAssignment } from '../../src/worker/messages.js';
import { ShardWriter } from '../../src/worker/shard-writer.js';
import { config, tensorsOf } from '../checkpoint/fixture.js';

export interface SaveArgs {
  readonly root: string;
  readonly rank: number;
  readonly worldSize: number;
  /** Step at which a tensor of this rank holds a NaN; 0 for none. */
  readonly nanAt: number;
  /** Whether this rank writes to a disk of its own, which the others do not see. */
  readonly isUnshared: boolean;
}

process.on('disconnect', () => process.exit(1));
process.once('message', async ({ root, rank, worldSize, nanAt, isUnshared }: SaveArgs) => {
  const assignment = {
    config,
    generation: 1,
    checkpointDir: isUnshared ? `${root}-elsewhere` : root,
    topology: topologyOf(rank, 1, worldSize),
  };
  const saver = new CheckpointSaver({
    assignment: assignment as Partial<WorkerAssignment> as WorkerAssignment,
    transport: soloTransport(),
    writer: new ShardWriter(),
    emit: (event) => process.send!(event),
  });
  process.on('message', (command: SaveCommand) => saver.onCommand(command));
  try {
    for (let step = 1; step <= 4; step++) {
      const tensors = tensorsOf(rank, worldSize, step);
      if (step === nanAt) tensors.experts[0].data[5] = Number.NaN;
      await saver.settle();
      saver.begin(
        { step, isLast: step === 4, keepStep: -1, metrics: { loss: step }, sharedCrc32: step },
        tensors,
      );
      // Overwrites the values, as the next step would.
      for (const { data } of Object.values(tensors).flat()) data.fill(-1);
    }
    process.send!({ type: 'ended', committed: await saver.settle() }, () => process.exit());
  } catch (error) {
    const { code, line } = asTrainerError(error);
    process.send!({ type: 'ended', error: `${code} ${line}` }, () => process.exit());
  }
});
