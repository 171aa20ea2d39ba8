import { existsSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { agree } from './agreement.js';
import { type FileDigest, syncFolder, writeDurably } from './durable.js';
import { assertNotSuperseded } from './fence.js';
import { firstNotFinite } from './finite.js';
import { commitFolder, type Place, prepareFolder, stepFolder, temporaryFolder } from './folders.js';
import { TOKENIZER_FILE, writeManifest } from './manifest.js';
import { writeSafetensors } from './safetensors.js';

/** A parameter, moment or other state under its global name. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Name of Adam's first (`m`) or second (`v`) moment of a parameter. */
export function momentName(moment: 'm' | 'v', parameter: string): string {
  return `adam.${moment}.${parameter}`;
}

/** One rank's part of a checkpoint; exactly one rank of the world contributes each tensor. */
export interface RankTensors {
  /** Shared parameters and their moments on rank 0; empty on all others. */
  readonly shared: readonly NamedTensor[];
  readonly optimizerShared: readonly NamedTensor[];
  /** Other state that is equal on all ranks, such as the routers', on rank 0; empty on all others. */
  readonly state: readonly NamedTensor[];
  /** Expert parameters and their moments; of a replicated expert on its lowest owner only. */
  readonly experts: readonly NamedTensor[];
  readonly optimizerExperts: readonly NamedTensor[];
}

/** `root` is on a disk shared by all ranks; `step` is the number of updates done. */
export interface SaveOptions extends Place {
  /** Committed checkpoints to keep, this one included. */
  readonly keep: number;
  /** Step of a further one to keep; null for none. */
  readonly keepStep?: number | null;
  readonly runId: string;
  readonly config: RunConfig;
  /** The tokenizer.json in use, which rank 0 copies into the checkpoint. */
  readonly tokenizerFile: string;
  readonly data: { readonly nextStep: number };
  readonly metrics: Readonly<Record<string, number>>;
  readonly tensors: RankTensors;
}

/**
 * The operation that errors name if a save refuses to write something, such as a tensor that is not finite.
 */
export const SAVE_OPERATION = 'checkpoint write';

interface WrittenFile extends FileDigest {
  readonly file: string;
  readonly tensors: readonly string[];
}

/**
 * Saves a checkpoint. A collective: all ranks return its folder once it is committed, or all throw the same
 * error, the partial folder is removed and earlier checkpoints are untouched. A process killed at any point
 * leaves every committed checkpoint loadable.
 *
 * @throws TrainerError `DISK_FULL`; `NO_RESOURCE` if the disk fails otherwise; `NOT_FINITE` if a tensor holds
 *   NaN or infinity; `SUPERSEDED` if a later generation of the run was started
 */
export function saveCheckpoint(transport: Transport, options: SaveOptions): string {
  const { root, step, generation } = options;
  const { rank } = transport.topology;
  const temporary = temporaryFolder(options);
  // Any failure after a later generation has taken over is due to that, e.g. a folder that it has moved.
  const fenced = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      assertNotSuperseded(root, generation);
      throw error;
    }
  };
  try {
    const bytes = agree(transport, 'checkpoint size', () => bytesOf(options.tensors));
    agree(transport, 'checkpoint prepare', () => {
      if (rank !== 0) return;
      fenced(() => prepareFolder(options));
      assertRoom(
        root,
        bytes.reduce((sum, each) => sum + each),
      );
    });
    failpoint('checkpoint.prepared');
    const written = agree(transport, SAVE_OPERATION, () =>
      fenced(() => writeShards(transport, options, temporary)),
    );
    failpoint('checkpoint.written');
    agree(transport, 'checkpoint commit', () => {
      if (rank === 0) fenced(() => commit(transport, options, temporary, written.flat()));
    });
  } catch (error) {
    if (rank === 0) removeIfPossible(temporary);
    throw error;
  }
  return stepFolder(root, step);
}

function bytesOf(tensors: RankTensors): number {
  return Object.values(tensors)
    .flat()
    .reduce((sum, { data }) => sum + data.byteLength, 0);
}

/** Checked before writing: a disk that fills up would fail other programs too. */
function assertRoom(root: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize >= bytes) return;
  const [needed, free] = [bytes, bavail * bsize].map((each) => `${Math.ceil(each / 1e6)} MB`);
  throw new TrainerError('DISK_FULL', `a checkpoint takes ${needed} in ${root}, and ${free} are free`);
}

function writeShards(transport: Transport, options: SaveOptions, folder: string): WrittenFile[] {
  const { rank, worldSize } = transport.topology;
  const { shared, optimizerShared, state, experts, optimizerExperts } = options.tensors;
  assertShared(folder);
  const place = `${rank}-of-${worldSize}`;
  const files = new Map([
    ['shared.safetensors', shared],
    ['optimizer-shared.safetensors', optimizerShared],
    ['state.safetensors', state],
    [`experts-${place}.safetensors`, experts],
    [`optimizer-experts-${place}.safetensors`, optimizerExperts],
  ]);
  const written: WrittenFile[] = rank === 0 ? [writeTokenizer(options.tokenizerFile, folder)] : [];
  for (const [file, tensors] of files) {
    if (tensors.length === 0) continue;
    for (const tensor of tensors) assertFinite(tensor);
    const digest = writeSafetensors(join(folder, file), tensors);
    written.push({ file, ...digest, tensors: tensors.map(({ name }) => name) });
    failpoint('checkpoint.shard');
  }
  return written;
}

function writeTokenizer(source: string, folder: string): WrittenFile {
  const digest = writeDurably(join(folder, TOKENIZER_FILE), [readFileSync(source)]);
  return { file: TOKENIZER_FILE, ...digest, tensors: [] };
}

function commit(
  transport: Transport,
  options: SaveOptions,
  temporary: string,
  written: readonly WrittenFile[],
): void {
  const { step, generation, keep, keepStep, runId, config, data, metrics } = options;
  const { numNodes, workersPerNode } = transport.topology;
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
  writeManifest(temporary, {
    formatVersion: 1,
    runId,
    step,
    generation,
    config,
    world: { nodes: numNodes, workersPerNode },
    tokenizerSha256: files[TOKENIZER_FILE].sha256,
    data,
    metrics,
    files,
    tensors,
  });
  syncFolder(temporary);
  failpoint('checkpoint.manifest');
  commitFolder(options, keep, keepStep);
}

/** Gives a clear error on a node without the shared disk. */
function assertShared(folder: string): void {
  if (existsSync(folder)) return;
  throw new TrainerError(
    'NO_RESOURCE',
    `rank 0 made ${folder} but this rank does not see it: mount the checkpoint folder on all nodes`,
  );
}

function assertFinite({ name, data }: NamedTensor): void {
  const at = firstNotFinite(data);
  if (at < 0) return;
  throw new TrainerError(
    'NOT_FINITE',
    `tensor ${name} holds ${data[at]} at element ${at}: such a checkpoint is not saved`,
  );
}

function removeIfPossible(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // Another rank may still be writing to it; the next save removes the rest.
  }
}
