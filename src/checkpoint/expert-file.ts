import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { TrainerError } from '../errors.js';
import { reserve, willRead } from '../os/libc.js';
import type { ExpertStorage } from '../parameters/expert-slots.js';
import { asStorageError, assertRoom } from './durable.js';
import { type FileFloats, fileFloats, readFloats } from './floats.js';

export interface ExpertFileOptions {
  readonly path: string;
  readonly numExperts: number;
  /** Number of parameters of an expert. */
  readonly expertSize: number;
}

/** An expert's values and the moments m and v. */
const NUM_ARRAYS = 3;
/** Places of each expert: the current one, and one for what is written while the other is held. */
const NUM_PLACES = 2;
const FLOAT_BYTES = 4;

/**
 * The experts of a rank on a disk, for the lifetime of a process: an unlinked file, which the kernel removes when the
 * process ends for whatever reason. Checkpoints, which last, are written from this file while training goes on: `hold`
 * keeps the current contents, and later writes go to the second place that each expert has.
 */
export class ExpertFile implements ExpertStorage {
  readonly isFilled = false;
  readonly #fd: number;
  /** Current place of each expert. */
  readonly #place: Uint8Array;
  readonly #isHeld: Uint8Array;

  /** @throws TrainerError `DISK_FULL` if there is no room; `NO_RESOURCE` if the disk fails otherwise */
  constructor(private readonly options: ExpertFileOptions) {
    const { path, numExperts } = options;
    this.#place = new Uint8Array(numExperts);
    this.#isHeld = new Uint8Array(numExperts);
    const bytes = NUM_PLACES * numExperts * this.#recordBytes;
    assertRoom(dirname(path), bytes, 'the file of the experts (moe.expertStorage)');
    try {
      this.#fd = openSync(path, 'w+', 0o600);
      unlinkSync(path);
    } catch (error) {
      throw asStorageError(error, 'there can be no file of the experts (moe.expertStorage)');
    }
    const errno = bytes === 0 ? 0 : reserve(this.#fd, bytes);
    if (errno === 0) return;
    this.close();
    throw new TrainerError(
      'DISK_FULL',
      `cannot reserve ${bytes} bytes in ${dirname(path)} for the experts (moe.expertStorage): errno ${errno}`,
    );
  }

  read(expert: number, into: readonly Float32Array[]): void {
    this.#access(() =>
      into.forEach((array, i) => {
        readFloats(this.floatsOf(expert, i, { begin: 0, end: array.length }), array);
      }),
    );
  }

  write(expert: number, from: readonly Float32Array[]): void {
    if (this.#isHeld[expert] === 1) {
      this.#place[expert] = 1 - this.#place[expert]!;
      this.#isHeld[expert] = 0;
    }
    this.#access(() => from.forEach((array, i) => void this.#writeArray(this.#positionOf(expert, i), array)));
  }

  willRead(experts: readonly number[]): void {
    for (const expert of experts) willRead(this.#fd, this.#positionOf(expert, 0), this.#recordBytes);
  }

  /** Returns the stored values (0), first moments m (1) or second moments v (2) of an expert. */
  floatsOf(
    expert: number,
    array: number,
    { begin, end }: { readonly begin: number; readonly end: number },
  ): FileFloats {
    return fileFloats(this.#fd, this.#positionOf(expert, array) + FLOAT_BYTES * begin, end - begin);
  }

  /** Keeps the current contents unchanged for the holders of results of `floatsOf`. */
  hold(): void {
    this.#isHeld.fill(1);
  }

  release(): void {
    this.#isHeld.fill(0);
  }

  close(): void {
    closeSync(this.#fd);
  }

  get #recordBytes(): number {
    return NUM_ARRAYS * FLOAT_BYTES * this.options.expertSize;
  }

  #positionOf(expert: number, array: number): number {
    const record = NUM_PLACES * expert + this.#place[expert]!;
    return record * this.#recordBytes + array * FLOAT_BYTES * this.options.expertSize;
  }

  #writeArray(position: number, array: Float32Array): void {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; )
      at += writeSync(this.#fd, bytes, at, bytes.length - at, position + at);
  }

  #access(run: () => void): void {
    try {
      run();
    } catch (error) {
      throw asStorageError(error, `the file of the experts in ${dirname(this.options.path)} failed`);
    }
  }
}
