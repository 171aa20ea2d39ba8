import { mkdirSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { assertRoom } from '../checkpoint/durable.js';
import { fenced } from '../checkpoint/fence.js';
import { bytesOfTensors } from '../checkpoint/rank-tensors.js';
import { atShard, writeShards } from '../checkpoint/shards.js';
import { asTrainerError } from '../errors.js';
import { armFailpoint, placeFailpoints } from '../failpoint.js';
import { collectNow } from '../garbage-collection.js';
import { lowerPriority } from '../os/lower-priority.js';
import { PRIVATE_FOLDER } from '../os/make-folder.js';
import type { ShardFile } from '../rpc/generated/messages.js';
import type { ShardAnswer, ShardJob, ShardRequest, SnapshotJob } from './shard-writer.js';
import { answerForStack } from './stack-answer.js';

// The thread of a ShardWriter. It also answers for the stack of the main thread, which may be stuck.

/** Where cores are few, training has priority. */
const NICE = 5;
lowerPriority(NICE);
/** Free memory that a snapshot needs, relative to its size: the neighbour's copy and other ranks' snapshots need room, too. */
const SNAPSHOT_ROOM = 3;

parentPort!.on('message', (request: ShardRequest) => {
  // Tensors that were lent stay in memory until both threads have collected their references.
  if (request === 'forget') collectNow();
  else if ('failpoint' in request) armFailpoint(request.failpoint);
  else if ('place' in request) placeFailpoints(request.place);
  else if ('stackFd' in request) answerForStack(request.stackFd);
  else {
    const { done, ...job } = request;
    const answer = carryOut(job);
    Atomics.add(done, 0, 1);
    Atomics.notify(done, 0);
    parentPort!.postMessage(answer);
  }
});

function carryOut(job: ShardJob | SnapshotJob): ShardAnswer {
  try {
    return { files: 'snapshotIn' in job ? keep(job) : save(job) };
  } catch (error) {
    const { code, message, context, stack } = asTrainerError(error, { rank: job.rank });
    return { failure: { code, message: code === 'INTERNAL' ? (stack ?? message) : message, context } };
  }
}

function save({ folder, tensors, ...job }: ShardJob): ShardFile[] {
  return fenced(job, () => writeShards(folder, job, tensors, atShard));
}

function keep({ snapshotIn, tensors, ...job }: SnapshotJob): ShardFile[] {
  mkdirSync(snapshotIn, { recursive: true, mode: PRIVATE_FOLDER });
  assertRoom(snapshotIn, SNAPSHOT_ROOM * bytesOfTensors(tensors), 'a snapshot');
  return writeShards(snapshotIn, job, tensors);
}
