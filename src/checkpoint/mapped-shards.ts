import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { type Mapping, mapShared, reserve, unmap } from '../os/libc.js';
import { PRIVATE_FOLDER } from '../os/make-folder.js';
import { assertRoom } from './durable.js';
import { readFloats } from './floats.js';
import { bytesOfTensors, type RankTensors } from './rank-tensors.js';
import { layOut } from './safetensors.js';
import { shardFiles } from './shards.js';

/** A state that a rank has written, and the sizes of its files. */
export interface ShardMark {
  readonly generation: number;
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly bytes: Readonly<Record<string, number>>;
}

interface MappedFile {
  readonly part: keyof RankTensors;
  readonly mapping: Mapping;
  /** Places of the tensors, in the order in which the rank lists them. */
  readonly places: readonly Float32Array[];
}

/** The file is one page, which a process that is killed has written in full or not at all. */
const MARK_BYTES = 4096;
/** Size of the largest buffer that every supported version of Node.js can view. */
const MAX_BYTES = 2 ** 31 - 1;
/** Free memory that is needed, relative to the size: other ranks and the next state need room, too. */
const ROOM = 3;

/**
 * A rank's files of a checkpoint in shared memory, which are filled again and again: a copy into mapped files
 * takes a third of the time of a write, and a tenth of that of new files. There are no digests. A mark tells
 * the state that is in the files; a rank that dies while it fills them leaves no mark.
 */
export class MappedShards {
  readonly #files: readonly MappedFile[];
  readonly #bytes: Record<string, number> = {};
  readonly #mark: number;

  /**
   * Replaces the rank's files in a folder, which is created if it is missing.
   *
   * @throws TrainerError `DISK_FULL` if there is no room; `NO_RESOURCE` if a file is too large to be mapped
   */
  constructor(
    folder: string,
    place: { readonly rank: number; readonly worldSize: number },
    tensors: RankTensors,
  ) {
    mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER });
    assertRoom(folder, ROOM * bytesOfTensors(tensors), 'a snapshot');
    this.#mark = openSync(markOf(folder, place.rank), 'w');
    this.#files = Object.entries(shardFiles(place.rank, place.worldSize)).flatMap(([part, file]) => {
      const ofPart = tensors[part as keyof RankTensors];
      return ofPart.length === 0 ? [] : [this.#create(folder, file, part as keyof RankTensors, ofPart)];
    });
  }

  #create(
    folder: string,
    file: string,
    part: keyof RankTensors,
    tensors: RankTensors[keyof RankTensors],
  ): MappedFile {
    const location = path.join(folder, file);
    const { head, sorted } = layOut(location, tensors);
    const bytes = sorted.reduce((sum, { data }) => sum + data.byteLength, head.length);
    if (bytes > MAX_BYTES)
      throw new TrainerError(
        'NO_RESOURCE',
        `${location} would have ${bytes} bytes, and at most ${MAX_BYTES} can be mapped`,
      );
    rmSync(location, { force: true });
    const fd = openSync(location, 'wx+', 0o600);
    ftruncateSync(fd, bytes);
    // Without memory behind it, a write to the mapping would kill the process.
    const errno = reserve(fd, bytes);
    if (errno !== 0) {
      closeSync(fd);
      throw new TrainerError('DISK_FULL', `${location}: reserving ${bytes} bytes failed with errno ${errno}`);
    }
    const mapping = mapShared(fd, bytes);
    new Uint8Array(mapping.buffer).set(head);
    const begins = new Map<string, number>();
    let begin = head.length;
    for (const { name, data } of sorted) {
      begins.set(name, begin);
      begin += data.byteLength;
    }
    this.#bytes[file] = bytes;
    const places = tensors.map(
      ({ name, data }) => new Float32Array(mapping.buffer, begins.get(name), data.length),
    );
    return { part, mapping, places };
  }

  /** Copies the tensors, the same as at the construction, and then marks the files as whole. */
  fill(tensors: RankTensors, about: Omit<ShardMark, 'bytes'>): void {
    this.#write('');
    for (const { part, places } of this.#files)
      for (const [i, { data }] of tensors[part].entries())
        if (data instanceof Float32Array) places[i]!.set(data);
        else readFloats(data, places[i]);
    failpoint('snapshot.copied');
    this.#write(JSON.stringify({ ...about, bytes: this.#bytes } satisfies ShardMark));
  }

  #write(mark: string): void {
    writeSync(this.#mark, mark.padEnd(MARK_BYTES), 0);
  }

  /** Unmaps the files, which stay. */
  close(): void {
    for (const { mapping } of this.#files) unmap(mapping);
    closeSync(this.#mark);
  }
}

/** Reads what a rank has written to a folder; null if its files are not whole, or not there. */
export function readMark(folder: string, rank: number): ShardMark | null {
  try {
    return JSON.parse(readFileSync(markOf(folder, rank), 'utf8'));
  } catch {
    return null;
  }
}

function markOf(folder: string, rank: number): string {
  return path.join(folder, `rank-${rank}.json`);
}
