import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { assertRegular } from '../os/regular-file.js';
import { type MetricsRecord, recordsOf } from './metrics-record.js';

/** Bytes read at a time; the event loop, which in a coordinator leads a run, gets its turn in between. */
const PIECE_BYTES = 1 << 19;
const NEWLINE = 0x0a;

/** Receives a run's metrics, record by record. */
export interface RecordSink {
  /** The file was rewritten: forget all records so far. */
  restart(): void;
  add(record: MetricsRecord): void;
}

/** Reads the growing `metrics.ndjson` of a run into a sink, from where the last call stopped. */
export class MetricsReader {
  #offset = 0;
  #inode: bigint | null = null;
  #reading: Promise<void> | null = null;

  constructor(
    readonly path: string,
    readonly sink: RecordSink,
  ) {}

  /**
   * Reads what is new; concurrent calls share one read. A missing file is empty.
   *
   * @throws TrainerError `BAD_INPUT` if it is no regular file
   */
  update(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #open(): Promise<FileHandle | null> {
    try {
      assertRegular(this.path);
      return await open(this.path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  async #read(): Promise<void> {
    const file = await this.#open();
    if (file === null) return;
    try {
      const { ino, size } = await file.stat({ bigint: true });
      // A resumed run rewrites the file without the steps that it repeats.
      if (ino !== this.#inode || size < this.#offset) {
        if (this.#inode !== null) this.sink.restart();
        this.#inode = ino;
        this.#offset = 0;
      }
      let piece = Buffer.alloc(PIECE_BYTES);
      while (this.#offset < size) {
        const { bytesRead } = await file.read(piece, 0, piece.length, this.#offset);
        const end = piece.subarray(0, bytesRead).lastIndexOf(NEWLINE) + 1;
        if (end > 0) {
          for (const record of recordsOf(piece.toString('utf8', 0, end))) this.sink.add(record);
          this.#offset += end;
        } else if (bytesRead === piece.length) piece = Buffer.alloc(2 * piece.length);
        else return;
        await nextTurn();
      }
    } finally {
      await file.close();
    }
  }
}
