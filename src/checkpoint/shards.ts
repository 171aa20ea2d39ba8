import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import type { ShardFile } from '../rpc/generated/messages.js';
import { firstNotFinite, readFloats } from './floats.js';
import type { RankTensors, SavedTensor } from './rank-tensors.js';
import { writeSafetensors } from './safetensors.js';

/** Returns a rank's files, by the part of its tensors that each holds. */
export function shardFiles(rank: number, worldSize: number): Readonly<Record<keyof RankTensors, string>> {
  const place = `${rank}-of-${worldSize}`;
  return {
    shared: 'shared.safetensors',
    optimizerShared: 'optimizer-shared.safetensors',
    state: 'state.safetensors',
    experts: `experts-${place}.safetensors`,
    optimizerExperts: `optimizer-experts-${place}.safetensors`,
  };
}

/** Passes the failpoint that a save has after each file. */
export function atShard(): void {
  failpoint('checkpoint.shard');
}

/**
 * Writes and syncs one rank's files of a checkpoint into a folder that the coordinator has created.
 *
 * @param onFile called after each file
 * @throws TrainerError `DISK_FULL`; `NO_RESOURCE` if the disk fails otherwise or is not the coordinator's;
 *   `NOT_FINITE` if a tensor holds NaN or infinity
 */
export function writeShards(
  folder: string,
  { rank, worldSize }: { readonly rank: number; readonly worldSize: number },
  tensors: RankTensors,
  onFile: () => void = () => undefined,
): ShardFile[] {
  if (!existsSync(folder))
    throw new TrainerError(
      'NO_RESOURCE',
      `the coordinator made ${folder} but this rank does not see it: mount the checkpoint folder on all nodes`,
    );
  const written: ShardFile[] = [];
  for (const [part, file] of Object.entries(shardFiles(rank, worldSize))) {
    const ofPart = tensors[part as keyof RankTensors];
    if (ofPart.length === 0) continue;
    for (const tensor of ofPart) assertFinite(tensor);
    const digest = writeSafetensors(join(folder, file), ofPart);
    written.push({ file, ...digest, tensors: ofPart.map(({ name }) => name) });
    onFile();
  }
  return written;
}

function assertFinite({ name, data }: SavedTensor): void {
  const values = data instanceof Float32Array ? data : readFloats(data);
  const at = firstNotFinite(values);
  if (at < 0) return;
  throw new TrainerError(
    'NOT_FINITE',
    `tensor ${name} holds ${values[at]} at element ${at}: such a checkpoint is not saved`,
  );
}
