import { statSync } from 'node:fs';
import { join } from 'node:path';
import { TOKENIZER_FILE } from '@locmoe/run-format';
import { TrainerError } from '../errors.js';
import { heldExperts } from '../routing/index.js';
import { digestFile, digestFileAside } from '../sha256.js';
import { asStorageError } from './durable.js';
import { firstNotFinite } from './floats.js';
import { type Manifest, readManifest } from './manifest.js';
import {
  readSafetensorsHeader,
  readTensor,
  type SafetensorsHeader,
  type TensorEntry,
} from './safetensors.js';

/** The weights of a model. Tensors have global names, so any layout of ranks can load them. */
export interface Checkpoint {
  readonly folder: string;
  readonly manifest: Manifest;
  /** The checkpoint's copy of tokenizer.json. */
  readonly tokenizerFile: string;
  has(name: string): boolean;
  /**
   * Reads a tensor, row-major, and checks its shape if given. The first read from a file checks the file's hash.
   *
   * @throws TrainerError `BAD_CHECKPOINT` if there is no such tensor, its file is damaged, its shape differs
   *   or it holds NaN or infinity.
   */
  read(name: string, shape?: readonly number[]): Float32Array;
}

/** A committed checkpoint: a step folder, whose files have hashes and hold float32. */
export interface StoredCheckpoint extends Checkpoint {
  /**
   * Locates the float32 elements of a tensor, with the checks of `read` except the checks of the values.
   *
   * @throws TrainerError `BAD_CHECKPOINT` if a check fails
   */
  locate(name: string, shape?: readonly number[]): TensorEntry & { readonly path: string };
  /**
   * Checks the hash and the structure of every file.
   *
   * @throws TrainerError `BAD_CHECKPOINT` naming the first file that is damaged.
   */
  verify(): void;
}

/** Opens a step folder after checking its manifest and file sizes. @throws TrainerError `BAD_CHECKPOINT` if a check fails */
export function openStored(folder: string): StoredCheckpoint {
  const manifest = readManifest(folder);
  assertHasExperts(folder, manifest);
  for (const [file, { bytes }] of Object.entries(manifest.files)) {
    const path = join(folder, file);
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found?.isFile()) throw bad(`${path} is missing: the checkpoint cannot be used`);
    if (found.size !== bytes) throw bad(`${path} is damaged: expected ${bytes} bytes, found ${found.size}`);
  }
  const headers = new Map<string, SafetensorsHeader>();
  const headerOf = (file: string) => {
    const header = headers.get(file) ?? verifiedHeader(folder, manifest, file);
    headers.set(file, header);
    return header;
  };
  const locate: StoredCheckpoint['locate'] = (name, shape) => {
    if (!Object.hasOwn(manifest.tensors, name)) throw bad(`checkpoint ${folder} has no tensor ${name}`);
    const { path, tensors } = headerOf(manifest.tensors[name]!);
    const entry = tensors.get(name);
    if (entry === undefined) throw bad(`${path} is damaged: there is no tensor ${name}`);
    if (entry.dtype !== 'F32') throw bad(`checkpoint ${folder}: tensor ${name} is not of type F32`);
    if (shape && String(shape) !== String(entry.shape))
      throw bad(`checkpoint ${folder}: tensor ${name} has shape [${entry.shape}], expected [${shape}]`);
    return { path, ...entry };
  };
  return {
    folder,
    manifest,
    tokenizerFile: join(folder, TOKENIZER_FILE),
    has: (name) => Object.hasOwn(manifest.tensors, name),
    locate,
    read(name, shape) {
      const { path } = locate(name, shape);
      const data = readTensor(headerOf(manifest.tensors[name]!), name).data as Float32Array;
      const at = firstNotFinite(data);
      if (at >= 0) throw bad(`${path}: tensor ${name} holds ${data[at]} at element ${at}`);
      return data;
    },
    verify() {
      for (const file of Object.keys(manifest.files))
        if (file.endsWith('.safetensors')) headerOf(file);
        else verifyHash(folder, manifest, file);
    },
  };
}

/** Checks the number of experts before anything is created for each: a configuration may state any number. */
function assertHasExperts(folder: string, { config, tensors }: Manifest): void {
  const numExperts = config.model.numSparseLayers * heldExperts(config.moe).count;
  const numTensors = Object.keys(tensors).length;
  if (numExperts > numTensors)
    throw bad(
      `checkpoint ${folder} has ${numTensors} tensors, too few for the ${numExperts} experts of its configuration`,
    );
}

/** Opens a step folder and verifies all its files, without blocking the event loop. */
export async function verifiedAside(folder: string): Promise<StoredCheckpoint> {
  try {
    const checkpoint = openStored(folder);
    const { manifest } = checkpoint;
    for (const file of Object.keys(manifest.files)) {
      const path = join(folder, file);
      assertHash(path, manifest.files[file]!.sha256, (await digestFileAside(path)).sha256);
      if (file.endsWith('.safetensors')) checkedHeader(folder, manifest, file);
    }
    return checkpoint;
  } catch (error) {
    throw asStorageError(error, `checkpoint ${folder} cannot be read`);
  }
}

function verifiedHeader(folder: string, manifest: Manifest, file: string): SafetensorsHeader {
  verifyHash(folder, manifest, file);
  return checkedHeader(folder, manifest, file);
}

function checkedHeader(folder: string, manifest: Manifest, file: string): SafetensorsHeader {
  const header = readSafetensorsHeader(join(folder, file));
  for (const [name, holder] of Object.entries(manifest.tensors))
    if (holder === file && !header.tensors.has(name))
      throw bad(`${join(folder, file)} is damaged: the manifest expects tensor ${name} in it`);
  return header;
}

function verifyHash(folder: string, manifest: Manifest, file: string): void {
  const path = join(folder, file);
  assertHash(path, manifest.files[file]!.sha256, digestFile(path).sha256);
}

function assertHash(path: string, expected: string, actual: string): void {
  if (actual !== expected)
    throw bad(`${path} is damaged: expected SHA-256 ${expected}, its content gives ${actual}`);
}

function bad(message: string): TrainerError {
  return new TrainerError('BAD_CHECKPOINT', message);
}
