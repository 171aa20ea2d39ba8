import { closeSync } from 'node:fs';
import { openRegular } from '@locmoe/run-format/regular-file';
import { TrainerError } from '../errors.js';
import type { ExpertStorage, StoredArrays } from '../parameters/expert-slots.js';
import { expertOf, type ParameterSpec } from '../parameters/parameter-group.js';
import type { StoredCheckpoint } from './checkpoint.js';
import { asStorageError } from './durable.js';
import { type FileFloats, fileFloats, firstNotFinite, readFloats } from './floats.js';

const FLOAT_BYTES = 4;

/**
 * The experts of a checkpoint, read on demand, without their moments. The files stay open, since a run that
 * goes on deletes its old checkpoints.
 */
export class CheckpointExperts implements ExpertStorage {
  readonly isFilled = true;
  readonly #folder: string;
  readonly #fds = new Map<string, number>();
  readonly #experts: readonly (readonly [name: string, tensors: readonly FileFloats[]])[];

  /**
   * @param specs parameters of all experts; an expert's parameters are in the order of their elements
   * @throws TrainerError as `StoredCheckpoint.locate`; `NO_RESOURCE` if a file cannot be opened
   */
  constructor(checkpoint: StoredCheckpoint, specs: readonly ParameterSpec[]) {
    this.#folder = checkpoint.folder;
    const tensorsOf = new Map<string, FileFloats[]>();
    for (const { name, shape } of specs) {
      const { path, begin, end } = checkpoint.locate(name, shape);
      const floats = fileFloats(this.#open(path), begin, (end - begin) / FLOAT_BYTES);
      const known = tensorsOf.get(expertOf(name));
      if (known === undefined) tensorsOf.set(expertOf(name), [floats]);
      else known.push(floats);
    }
    this.#experts = [...tensorsOf];
  }

  /** @throws TrainerError `BAD_CHECKPOINT` if the expert holds NaN or infinity; `NO_RESOURCE` if the disk fails */
  read(expert: number, [values]: StoredArrays): void {
    const [name, tensors] = this.#experts[expert]!;
    let begin = 0;
    for (const floats of tensors) {
      const into = values.subarray(begin, begin + floats.length);
      try {
        readFloats(floats, into);
      } catch (error) {
        throw asStorageError(error, `checkpoint ${this.#folder} cannot be read`);
      }
      begin += floats.length;
    }
    const at = firstNotFinite(values);
    if (at >= 0)
      throw new TrainerError(
        'BAD_CHECKPOINT',
        `checkpoint ${this.#folder}: ${name} holds ${values[at]} at element ${at}`,
      );
  }

  /** Does nothing, as the experts never change. */
  write(): void {}

  /** Does nothing: only training knows in advance which experts it needs. */
  willRead(): void {}

  close(): void {
    for (const fd of this.#fds.values()) closeSync(fd);
    this.#fds.clear();
  }

  #open(path: string): number {
    const fd = this.#fds.get(path) ?? openRegular(path);
    this.#fds.set(path, fd);
    return fd;
  }
}
