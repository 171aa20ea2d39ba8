import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MetricsRecord, recordsIn } from './metrics-record.js';
import { assertRegular } from './regular-file.js';

/** Bytes read at a time; in between, the event loop, which in a coordinator leads a run, gets its turn. */
const PIECE_BYTES = 1 << 18;
const NEWLINE = 0x0a;

/** A metrics file that is open, and its size in bytes when it was opened. */
export interface OpenMetrics {
  readonly handle: FileHandle;
  readonly size: number;
}

/** Receives a run's metrics, record by record. */
export interface RecordSink {
  /**
   * Called when the file is opened for the first time or was rewritten; the sink must forget all records so
   * far.
   *
   * @returns the byte from which records are needed: 0, or the end of what the sink knows already
   */
  begin(file: OpenMetrics): number | Promise<number>;
  /** @param offset byte at which the record's line begins */
  add(record: MetricsRecord, offset: number): void;
  /** Called when all records before the byte `offset` have been added. */
  endPiece?(file: OpenMetrics, offset: number): Promise<void>;
}

/** Reads the growing `metrics.ndjson` of a run into a sink, from where the last call stopped. */
export class MetricsReader {
  #offset = 0;
  #size = 0;
  #inode: bigint | null = null;
  #reading: Promise<void> | null = null;

  constructor(
    private readonly path: string,
    private readonly sink: RecordSink,
  ) {}

  /** Bytes read, out of the file's size when it was last opened; 0 until the sink has begun. */
  get progress(): { readonly bytes: number; readonly ofBytes: number } {
    return { bytes: this.#offset, ofBytes: this.#size };
  }

  /**
   * Reads what is new; concurrent calls share one read. A missing file counts as empty.
   *
   * @throws TrainerError `BAD_INPUT` if it is not a regular file, or as `parseRecord`
   */
  update(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** Makes the next update treat the file as if it were opened for the first time. */
  beginAnew(): void {
    this.#inode = null;
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
    const handle = await this.#open();
    if (handle === null) return;
    try {
      const { ino, size: bytes } = await handle.stat({ bigint: true });
      const file = { handle, size: Number(bytes) };
      // A resumed run rewrites the file without the steps that it repeats.
      if (ino !== this.#inode || file.size < this.#offset) {
        this.#offset = 0;
        this.#size = 0;
        this.#offset = await this.sink.begin(file);
        this.#inode = ino;
      }
      this.#size = file.size;
      let piece = Buffer.alloc(PIECE_BYTES);
      while (this.#offset < file.size) {
        const { bytesRead } = await handle.read(piece, 0, piece.length, this.#offset);
        const end = piece.subarray(0, bytesRead).lastIndexOf(NEWLINE) + 1;
        if (end > 0) {
          // All lines are checked before any is added: after a wrong one, the next update reads the piece again.
          const records = Array.from(recordsIn(piece.subarray(0, end), this.path, this.#offset));
          for (const { record, begin } of records) this.sink.add(record, begin);
          this.#offset += end;
          await this.sink.endPiece?.(file, this.#offset);
        } else if (bytesRead === piece.length) piece = Buffer.alloc(2 * piece.length);
        else break;
        await nextTurn();
      }
      await this.sink.endPiece?.(file, this.#offset);
    } finally {
      await handle.close();
    }
  }
}
