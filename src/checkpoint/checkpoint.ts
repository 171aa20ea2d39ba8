import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MANIFEST_FILE, stepFolder } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';
import { asStorageError } from './durable.js';
import { committedFolders, NOTHING_SAVED } from './folders.js';
import { isHuggingFace, openHuggingFace } from './huggingface/open-huggingface.js';
import { type Checkpoint, openStored, type StoredCheckpoint, verifiedAside } from './open-stored.js';

export type { Checkpoint, StoredCheckpoint };

/** Opens a step folder or a HuggingFace folder. @throws TrainerError as `openStored` and `openHuggingFace` */
export function openCheckpoint(folder: string): Checkpoint | StoredCheckpoint {
  return isHuggingFace(folder) ? openHuggingFace(folder) : openStored(folder);
}

/**
 * Finds the checkpoint to load and verifies it in full: a given step folder or HuggingFace folder, or the
 * newest valid one of a folder of checkpoints or of a run folder with `checkpoints/`. Calls `warn` for each
 * newer one that is damaged or that `refuse` rejects with a reason.
 *
 * @throws TrainerError `BAD_INPUT` if there is none, `BAD_CHECKPOINT` if none is valid
 */
export function resolveCheckpoint(
  path: string,
  warn: (message: string) => void,
  refuse: (folder: string) => string | null = () => null,
): Checkpoint {
  if (existsSync(join(path, MANIFEST_FILE)) || isHuggingFace(path)) return verifiedCheckpoint(path);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const root = isFolder && committedFolders(path).length > 0 ? path : join(path, 'checkpoints');
  // Folders with an unreadable manifest come first, so that `warn` is called for them.
  const folders = isFolder ? committedFolders(root, Number.POSITIVE_INFINITY) : [];
  if (folders.length === 0)
    throw new TrainerError(
      'BAD_INPUT',
      existsSync(join(path, 'run.json'))
        ? `${path}: ${NOTHING_SAVED}`
        : `there is no checkpoint in ${path}: give a step folder, or a folder that has step-... folders`,
    );
  const passedOver = new PassedOver(folders, warn, refuse);
  for (const folder of folders)
    try {
      passedOver.assertNotRefused(folder);
      return verifiedCheckpoint(folder);
    } catch (error) {
      passedOver.add(error);
    }
  throw passedOver.all;
}

/**
 * Finds the checkpoint whose model is to be used: of a run with train.earlyStop that of its best validation, whose text it had not
 * yet learned by heart, otherwise as `resolveCheckpoint`. Calls `warn` where it is not the newest, or where the best one does not load.
 *
 * @throws TrainerError as `resolveCheckpoint`
 */
export function resolveModel(path: string, warn: (message: string) => void): Checkpoint {
  const newest = resolveCheckpoint(path, warn);
  const { step, metrics } = newest.manifest;
  const { bestStep = step } = metrics;
  if (bestStep === step || existsSync(join(path, MANIFEST_FILE))) return newest;
  try {
    const best = verifiedCheckpoint(stepFolder(dirname(newest.folder), bestStep));
    warn(`${path}: step ${bestStep} is taken, which has the best validation; the newest is step ${step}`);
    return best;
  } catch (error) {
    if (!(error instanceof TrainerError)) throw error;
    warn(`${error.message}; step ${bestStep} has the best validation, the newest, step ${step}, is taken`);
    return newest;
  }
}

/** Does what `resolveCheckpoint` does for step folders, newest first, without blocking the event loop. */
export async function newestValid(
  folders: readonly string[],
  warn: (message: string) => void,
  refuse: (folder: string) => string | null,
): Promise<Checkpoint> {
  const passedOver = new PassedOver(folders, warn, refuse);
  for (const folder of folders)
    try {
      passedOver.assertNotRefused(folder);
      return await verifiedAside(folder);
    } catch (error) {
      passedOver.add(error);
    }
  throw passedOver.all;
}

/** Collects why checkpoints were skipped. */
class PassedOver {
  readonly #problems: string[] = [];

  constructor(
    private readonly folders: readonly string[],
    private readonly warn: (message: string) => void,
    private readonly refuse: (folder: string) => string | null,
  ) {}

  assertNotRefused(folder: string): void {
    const refusal = this.refuse(folder);
    if (refusal !== null) throw bad(refusal);
  }

  add(error: unknown): void {
    if (!(error instanceof TrainerError)) throw error;
    this.#problems.push(error.message);
    this.warn(`${error.message}; trying the checkpoint before it`);
  }

  get all(): TrainerError {
    const { length } = this.folders;
    return bad(
      `none of the ${length} checkpoints in ${dirname(this.folders[0]!)} can be loaded: ${this.#problems.join('; ')}`,
    );
  }
}

/**
 * Returns the configuration of a checkpoint. The tokenizer is the checkpoint's own copy if the configured file is gone,
 * or if a sub-model's tokenizer was trained on the text of more domains than the sub-model has.
 */
export function configAtHand({ manifest, tokenizerFile }: Checkpoint): RunConfig {
  const { config } = manifest;
  const { tokenizer } = config.data;
  const isAtHand = tokenizer === 'train' ? config.moe.subModel === null : existsSync(tokenizer);
  return isAtHand ? config : { ...config, data: { ...config.data, tokenizer: tokenizerFile } };
}

function verifiedCheckpoint(folder: string): Checkpoint {
  try {
    const checkpoint = openCheckpoint(folder);
    if ('verify' in checkpoint) checkpoint.verify();
    return checkpoint;
  } catch (error) {
    throw asStorageError(error, `checkpoint ${folder} cannot be read`);
  }
}

function bad(message: string): TrainerError {
  return new TrainerError('BAD_CHECKPOINT', message);
}
