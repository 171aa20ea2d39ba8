import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type FileDigest, stepFolder, TOKENIZER_FILE } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import type { ShardFile } from '../rpc/generated/messages.js';
import { assertRoom, syncFolder, writeDurably } from './durable.js';
import { fenced } from './fence.js';
import { commitFolder, type Place, prepareFolder, temporaryFolder } from './folders.js';
import { writeManifest } from './manifest.js';
import { bytesOfTensors, type RankTensors } from './rank-tensors.js';
import { atShard, writeShards } from './shards.js';

// A save has two phases. One process, the coordinator of the run, makes a temporary folder, to which the ranks write
// and sync their files (shards.ts). When the coordinator has the digests of all files, it writes the manifest and
// renames the folder, which commits the checkpoint. No other process ever commits, not even one that was suspended.

/** Options of a save; `root` is on a disk shared by all ranks, `step` is the number of updates done. */
export interface SaveOptions extends Place {
  /** Number of committed checkpoints to keep, this one included. */
  readonly keep: number;
  /** Step of one further checkpoint to keep; null for none. */
  readonly keepStep?: number | null;
  readonly runId: string;
  readonly config: RunConfig;
  /** Layout of the ranks that write. */
  readonly world: { readonly nodes: number; readonly workersPerNode: number };
  /** The tokenizer.json in use, which is copied into the checkpoint. */
  readonly tokenizerFile: string;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Free space that a checkpoint needs, relative to its size. */
const ROOM = 1.2;

/**
 * Creates the temporary folder of a save.
 *
 * @param bytes size of all ranks' files
 * @throws TrainerError `DISK_FULL` if there is no room; `NO_RESOURCE` if the disk fails otherwise;
 *   `SUPERSEDED` if a later generation of the run was started
 */
export function beginCheckpoint(place: Place, bytes: number): void {
  fenced(place, () => {
    prepareFolder(place);
    // Room is checked before writing: a full disk would make other programs fail, too.
    assertRoom(place.root, ROOM * bytes, 'a checkpoint');
    failpoint('checkpoint.prepared');
  });
}

/**
 * Commits a checkpoint whose files have all been written and synced.
 *
 * @param warn told what failed after the checkpoint was committed
 * @returns the checkpoint's folder
 * @throws as `beginCheckpoint`; earlier checkpoints are then untouched
 */
export function commitCheckpoint(
  options: SaveOptions,
  shards: readonly ShardFile[],
  warn: (line: string) => void,
): string {
  return fenced(options, () => {
    const temporary = temporaryFolder(options);
    failpoint('checkpoint.written');
    for (const shard of shards) assertSeen(temporary, shard);
    writeManifestOf(options, temporary, [...shards, copyTokenizer(options.tokenizerFile, temporary)]);
    syncFolder(temporary);
    failpoint('checkpoint.manifest');
    commitFolder(options, options.keep, options.keepStep ?? null, warn);
    return stepFolder(options.root, options.step);
  });
}

/** Removes what an uncommitted save has written. */
export function discardCheckpoint(place: Place): void {
  try {
    rmSync(temporaryFolder(place), { recursive: true, force: true });
  } catch {
    // A rank may still be writing to the folder; the next save removes the rest.
  }
}

/**
 * Saves a checkpoint of a world of one rank, entirely in this process.
 *
 * @returns the checkpoint's folder
 * @throws as `writeShards` and `commitCheckpoint`
 */
export function saveCheckpoint({
  tensors,
  ...options
}: Omit<SaveOptions, 'world'> & { readonly tensors: RankTensors }): string {
  try {
    beginCheckpoint(options, bytesOfTensors(tensors));
    const shards = fenced(options, () =>
      writeShards(temporaryFolder(options), { rank: 0, worldSize: 1 }, tensors, atShard),
    );
    return commitCheckpoint({ ...options, world: { nodes: 1, workersPerNode: 1 } }, shards, (line) => {
      throw new TrainerError('NO_RESOURCE', line);
    });
  } catch (error) {
    discardCheckpoint(options);
    throw error;
  }
}

/** Checks that a file is visible here: a rank without the shared disk may have written to another one. */
function assertSeen(folder: string, { file, bytes }: ShardFile): void {
  const size = statSync(join(folder, file), { throwIfNoEntry: false })?.size;
  if (size === bytes) return;
  const found = size === undefined ? 'does not see it' : `finds ${size}`;
  throw new TrainerError(
    'NO_RESOURCE',
    `a rank wrote ${bytes} bytes to ${join(folder, file)}, and the coordinator ${found}: mount the checkpoint folder on all nodes`,
  );
}

function copyTokenizer(source: string, folder: string): ShardFile {
  const digest = writeDurably(join(folder, TOKENIZER_FILE), [readFileSync(source)]);
  return { file: TOKENIZER_FILE, ...digest, tensors: [] };
}

/** Writes the manifest of a folder that holds the files of all or some ranks, and a tokenizer. */
export function writeManifestOf(
  {
    runId,
    step,
    generation,
    config,
    world,
    metrics,
  }: Pick<SaveOptions, 'runId' | 'step' | 'generation' | 'config' | 'world' | 'metrics'>,
  folder: string,
  written: readonly ShardFile[],
): void {
  const files: Record<string, FileDigest> = {};
  const tensors: Record<string, string> = {};
  for (const { file, bytes, sha256, tensors: names } of written) {
    files[file] = { bytes, sha256 };
    for (const name of names) {
      if (Object.hasOwn(tensors, name))
        throw new TrainerError('INTERNAL', `tensor ${name} was written to ${tensors[name]} and to ${file}`);
      tensors[name] = file;
    }
  }
  writeManifest(folder, {
    formatVersion: 1,
    runId,
    step,
    generation,
    config,
    world,
    tokenizerSha256: files[TOKENIZER_FILE]!.sha256,
    data: { nextStep: step },
    metrics,
    files,
    tensors,
  });
}
