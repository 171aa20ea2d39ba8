import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { fenced } from '../checkpoint/fence.js';
import { writeShards } from '../checkpoint/shards.js';
import { asTrainerError } from '../errors.js';
import { armFailpoint, placeFailpoints } from '../failpoint.js';
import type { ShardAnswer, ShardJob, ShardRequest } from './shard-writer.js';

// The thread of a ShardWriter.

/** Linux: of this thread alone. Where cores are few, the step comes first. */
const NICE = 5;
setPriority(NICE);

parentPort!.on('message', (request: ShardRequest) => {
  if ('failpoint' in request) armFailpoint(request.failpoint);
  else parentPort!.postMessage(carryOut(request));
});

function carryOut({ folder, tensors, ...job }: ShardJob): ShardAnswer {
  placeFailpoints(job);
  try {
    return { files: fenced(job, () => writeShards(folder, job, tensors)) };
  } catch (error) {
    const { code, message, context, stack } = asTrainerError(error, { rank: job.rank });
    return { failure: { code, message: code === 'INTERNAL' ? (stack ?? message) : message, context } };
  }
}
