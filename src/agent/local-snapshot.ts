import { statSync } from 'node:fs';
import path from 'node:path';
import { readMark, type ShardMark } from '../checkpoint/mapped-shards.js';
import { readSafetensorsHeader } from '../checkpoint/safetensors.js';
import type { ShardFile, SnapshotRef } from '../rpc/generated/messages.js';
import { digestFileAside } from '../sha256.js';
import { ranksOfNode, type SnapshotWorld } from './node-snapshot.js';

/** Reads which state the ranks of a node have written to a folder; null if it is not the same and whole for all. */
export function readLocal(
  folder: string,
  world: Pick<SnapshotWorld, 'config' | 'node'>,
): { readonly ref: SnapshotRef; readonly metrics: ShardMark['metrics'] } | null {
  const marks = ranksOfNode(world.config, world.node).map((rank) => readMark(folder, rank));
  const [first] = marks;
  if (first == null) return null;
  const { generation, step, metrics } = first;
  const isWhole = marks.every(
    (mark) =>
      mark?.generation === generation &&
      mark.step === step &&
      Object.entries(mark.bytes).every(([file, bytes]) => sizeOf(path.join(folder, file)) === bytes),
  );
  return isWhole ? { ref: { generation, step }, metrics } : null;
}

/**
 * Describes the files of a local snapshot.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if a header is damaged; errors of the file system
 */
export async function filesOfLocal(folder: string, { config, node }: SnapshotWorld): Promise<ShardFile[]> {
  const described: ShardFile[] = [];
  for (const rank of ranksOfNode(config, node))
    for (const file of Object.keys(readMark(folder, rank)?.bytes ?? {})) {
      const { tensors } = readSafetensorsHeader(path.join(folder, file));
      const digest = await digestFileAside(path.join(folder, file));
      described.push({ file, ...digest, tensors: [...tensors.keys()] });
    }
  return described;
}

function sizeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.size;
}
