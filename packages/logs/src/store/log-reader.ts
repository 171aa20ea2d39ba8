import { closeSync, openSync } from 'node:fs';
import type { Block } from './block.js';
import { type LogFile, readFully, type ScannedLine } from './log-file.js';
import type { Pacer, PacerOptions } from './pacer.js';
import type { LogStream } from './streams.js';

const NEWLINE = 0x0a;

/** A snapshot of a file for one query; later appends are not included. */
export interface FileView {
  readonly file: LogFile;
  /** The last block may have grown past `end` since. */
  readonly blocks: readonly Block[];
  readonly end: number;
  readonly isSelected: (stream: LogStream) => boolean;
}

/** @param isSelected whether the query selects a stream; called once for each stream */
export function viewOf(file: LogFile, isSelected: (stream: LogStream) => boolean): FileView {
  const known: boolean[] = [];
  return {
    file,
    blocks: [...file.blocks],
    end: file.end,
    isSelected(stream) {
      const answer = known[stream.id] ?? isSelected(stream);
      known[stream.id] = answer;
      return answer;
    },
  };
}

/** Whether the block ends within the view, so that its counts hold for the view. */
export function isWhole({ end }: FileView, block: Block): boolean {
  return block.end <= end;
}

/** Whether a block has lines of selected streams. */
export function hasSelected({ file, isSelected }: FileView, block: Block): boolean {
  for (const id of block.counts.keys()) if (isSelected(file.streams.all[id]!)) return true;
  return false;
}

/** Excludes lines before they are visited. */
export interface LineSieve {
  /** A text that every matching line contains; null if none is known. */
  readonly needle: Buffer | null;
  /** Called with each buffer, before its lines are visited. */
  begin(bytes: Buffer): void;
  /** Whether any line of the buffer may match; false only if none does. */
  mayPass(): boolean;
}

/** Lines and bytes of the selected streams in the blocks that queries have read. */
export interface ReadTotals {
  lines: number;
  bytes: number;
}

export interface QueryOptions extends PacerOptions {
  readonly totals?: ReadTotals;
}

/** Reads blocks for one query. Files stay open until `close`. */
export class BlockReader {
  readonly #open = new Map<LogFile, number>();
  /** The buffer grows as needed, because a follower makes a reader at every poll for a few lines. */
  #buffer = Buffer.alloc(0);

  constructor(
    readonly pacer: Pacer,
    private readonly totals: ReadTotals = { lines: 0, bytes: 0 },
  ) {}

  /**
   * Calls `visit` for the selected lines of a block, except those that `sieve` excludes.
   *
   * @param from offset in the file of the first line that is needed; earlier ones may be visited
   */
  async read(
    view: FileView,
    block: Block,
    sieve: LineSieve,
    visit: (line: ScannedLine) => void,
    from = block.offset,
  ): Promise<void> {
    if (this.pacer.isDue) await this.pacer.rest();
    const { file, isSelected } = view;
    const offset = this.#canBeginAt(file, block, from) ? from : block.offset;
    const bytes = this.bytes(file, offset, Math.min(block.end, view.end));
    for (const [id, { lines, bytes: size }] of block.counts) {
      if (!isSelected(file.streams.all[id]!)) continue;
      this.totals.lines += lines;
      this.totals.bytes += size;
    }
    sieve.begin(bytes);
    if (!sieve.mayPass()) return;
    // A single line may use up a slice, so the pacer is asked at each line.
    for (const line of file.scan(block, offset, bytes, isSelected, sieve.needle)) {
      if (this.pacer.isDue) await this.pacer.rest();
      visit(line);
    }
  }

  /**
   * Whether reading can start at `at`: not if a foreign line may need the time of a record before, or if the
   * file has been replaced.
   */
  #canBeginAt(file: LogFile, block: Block, at: number): boolean {
    return at > block.offset && !block.hasForeign && this.bytes(file, at - 1, at)[0] === NEWLINE;
  }

  /** Returns the bytes `from` to `to` of a file, valid until the next read; fewer if it was truncated. */
  bytes(file: LogFile, from: number, to: number): Buffer {
    let fd = this.#open.get(file);
    if (fd === undefined) {
      try {
        fd = openSync(file.path, 'r');
      } catch {
        return this.#buffer.subarray(0, 0);
      }
      this.#open.set(file, fd);
    }
    if (to - from > this.#buffer.length)
      this.#buffer = Buffer.allocUnsafe(Math.max(to - from, 2 * this.#buffer.length));
    return this.#buffer.subarray(0, readFully(fd, this.#buffer, from, to - from));
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }
}
