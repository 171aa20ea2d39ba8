import { closeSync, openSync } from 'node:fs';
import type { Block } from './block.js';
import { type LogFile, readFully, type ScannedLine } from './log-file.js';
import type { Pacer } from './pacer.js';
import type { LogStream } from './streams.js';

/** A file as it was when a query began: what is appended later is not part of the answer. */
export interface FileView {
  readonly file: LogFile;
  /** Of them the last one may have grown since: `end` counts. */
  readonly blocks: readonly Block[];
  readonly end: number;
  readonly isSelected: (stream: LogStream) => boolean;
}

/** Freezes files for one query, with the streams that it asks for. */
export function viewOf(file: LogFile, isSelected: (stream: LogStream) => boolean): FileView {
  const known: boolean[] = [];
  return {
    file,
    blocks: [...file.blocks],
    end: file.end,
    isSelected(stream) {
      known[stream.id] ??= isSelected(stream);
      return known[stream.id];
    },
  };
}

/** True if nothing of the block lies outside of the view, so that its counts are those of the view. */
export function isWhole({ end }: FileView, block: Block): boolean {
  return block.end <= end;
}

/** Whether a block has lines of the streams that are asked for. */
export function hasSelected({ file, isSelected }: FileView, block: Block): boolean {
  for (const id of block.counts.keys()) if (isSelected(file.streams.all[id])) return true;
  return false;
}

/** Tells quickly which lines a query cannot want. */
export interface LineSieve {
  /** What every wanted line contains, to search for; null if nothing is known. */
  readonly needle: Buffer | null;
  /** Called once for a buffer, before its lines are visited. */
  begin(bytes: Buffer): void;
  /** False only if no line of the buffer is wanted. Worth asking before many lines are visited. */
  mayPass(): boolean;
}

/** Reads blocks of files for one query. Files are opened when they are first needed and closed together. */
export class BlockReader {
  readonly #open = new Map<LogFile, number>();
  #buffer = Buffer.allocUnsafe(1 << 18);

  constructor(readonly pacer: Pacer) {}

  /** Calls `visit` for the selected lines of a block; some that `sieve` does not let pass are left out. */
  async read(
    view: FileView,
    block: Block,
    sieve: LineSieve,
    visit: (line: ScannedLine) => void,
  ): Promise<void> {
    if (this.pacer.isDue) await this.pacer.rest();
    const bytes = this.bytes(view.file, block.offset, Math.min(block.end, view.end));
    if (view.file.isPushed) {
      view.file.scan(block, bytes, view.isSelected, null, (line) => {
        sieve.begin(line.bytes);
        visit(line);
      });
      return;
    }
    sieve.begin(bytes);
    if (sieve.mayPass()) view.file.scan(block, bytes, view.isSelected, sieve.needle, visit);
  }

  /** The bytes of a file from `from` to `to`, valid until the next read; fewer if it was cut meanwhile. */
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
    if (to - from > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(to - from);
    return this.#buffer.subarray(0, readFully(fd, this.#buffer, from, to - from));
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }
}
