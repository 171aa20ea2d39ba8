import { closeSync, type Dirent, openSync, readdirSync, readSync, type Stats, statSync } from 'node:fs';
import path from 'node:path';
import { Block } from './block.js';
import { LineHead } from './line-head.js';
import type { LogFolder } from './log-catalog.js';
import { Pacer } from './pacer.js';
import { type LogStream, StreamTable } from './streams.js';

const NEWLINE = 0x0a;
const CHUNK_BYTES = 1 << 20;
/** Longer lines are split; messages of the control plane are no longer than this. */
const MAX_LINE_BYTES = 16 << 20;

/** A line found by a scan. The object is reused and valid only until the next line. */
export interface ScannedLine {
  /** Holds the line from `from` (inclusive) to `to` (exclusive, without newline). */
  bytes: Buffer;
  from: number;
  to: number;
  timeMs: number;
  stream: LogStream;
  /** Offset in the file. */
  offset: number;
}

/** A log file and its sparse index. */
export class LogFile {
  readonly source: string;
  /** Position among the files of the source. */
  readonly segment: number;
  readonly streams: StreamTable;
  blocks: Block[] = [];
  /** End of the index, after the newline of the last line. */
  end = 0;
  /** Modification time, in ms since 1970. */
  modifiedMs = 0;
  #inode = 0;
  #refreshing: Promise<void> = Promise.resolve();
  readonly #head = new LineHead();

  /** @param labels labels of every line */
  constructor(
    readonly path: string,
    labels: Pick<LogFolder, 'run' | 'service'>,
  ) {
    ({ source: this.source, segment: this.segment } = parseLogFileName(path));
    this.streams = new StreamTable(labels, this.source);
  }

  /** Whether the file has changed since it was indexed: it is longer, shorter or gone. */
  get hasChanged(): boolean {
    return statSync(this.path, { throwIfNoEntry: false })?.size !== this.end;
  }

  /**
   * Indexes what any process has appended before this call, except for a last line without a newline. A
   * truncated or replaced file is indexed again.
   */
  refresh(): Promise<void> {
    // A refresh in progress may have looked at the file too early.
    this.#refreshing = this.#refreshing.catch(() => undefined).then(() => this.#refresh());
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    const stats = this.#stat();
    if (stats === null) return;
    this.modifiedMs = stats.mtimeMs;
    if (stats.ino !== this.#inode || stats.size < this.end) {
      this.blocks = [];
      this.end = 0;
      this.#inode = stats.ino;
    }
    if (stats.size === this.end) return;
    const fd = openSync(this.path, 'r');
    try {
      await this.#index(fd, stats);
    } finally {
      closeSync(fd);
    }
  }

  #stat(): Stats | null {
    try {
      return statSync(this.path);
    } catch {
      // The file has been removed since it was listed.
      this.blocks = [];
      this.end = 0;
      return null;
    }
  }

  async #index(fd: number, { size, mtimeMs }: Stats): Promise<void> {
    const pacer = new Pacer();
    let buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - this.end));
    while (this.end < size) {
      const read = readFully(fd, buffer, this.end, Math.min(buffer.length, size - this.end));
      const whole = buffer.lastIndexOf(NEWLINE, read - 1) + 1;
      if (whole > 0 && read > 0) this.#indexLines(buffer, whole);
      else if (buffer.length < MAX_LINE_BYTES && this.end + read < size)
        buffer = Buffer.allocUnsafe(buffer.length * 2);
      else if (read >= MAX_LINE_BYTES) this.#indexLine(buffer, 0, read - 1);
      else break;
      if (pacer.isDue) await pacer.rest();
    }
    const last = this.blocks.at(-1);
    if (last?.timeBeforeMs === null) this.#setFirstTime(Math.floor(mtimeMs));
  }

  #indexLines(buffer: Buffer, whole: number): void {
    for (let from = 0; from < whole; ) {
      const to = buffer.indexOf(NEWLINE, from);
      this.#indexLine(buffer, from, to);
      from = to + 1;
    }
  }

  #indexLine(buffer: Buffer, from: number, to: number): void {
    let block = this.blocks.at(-1);
    if (block === undefined || block.isFull) {
      block = new Block(this.end, block?.lastMs ?? null);
      this.blocks.push(block);
    }
    const head = this.#head;
    if (head.read(buffer, from, to)) {
      block.extendTo(head.timeMs);
      block.lastMs = head.timeMs;
      if (block.timeBeforeMs === null) this.#setFirstTime(head.timeMs);
    } else {
      block.hasForeign = true;
      if (block.lastMs !== null) block.extendTo(block.lastMs);
    }
    block.add(this.streams.ofHead(head).id, to - from);
    this.end = block.end;
  }

  /** Gives lines before the first record its time or, without any record, the file's. */
  #setFirstTime(timeMs: number): void {
    for (const block of this.blocks) {
      if (block.timeBeforeMs !== null) continue;
      block.timeBeforeMs = timeMs;
      block.lastMs ??= timeMs;
      block.extendTo(timeMs);
    }
  }

  /**
   * Iterates over the lines of the selected streams in a block, in file order.
   *
   * @param offset offset of `bytes` in the file: that of the block or, if it has no foreign lines, a later
   *   one
   * @param bytes the bytes of the block from `offset` on
   * @param needle if not null, lines without it may be skipped
   */
  scan(
    block: Block,
    offset: number,
    bytes: Buffer,
    isSelected: (stream: LogStream) => boolean,
    needle: Buffer | null,
  ): Generator<ScannedLine, void> {
    if (needle !== null && !block.hasForeign) return this.#scanHits(offset, bytes, isSelected, needle);
    return this.#scanAll(block, offset, bytes, isSelected);
  }

  *#scanAll(
    block: Block,
    offset: number,
    bytes: Buffer,
    isSelected: (stream: LogStream) => boolean,
  ): Generator<ScannedLine, void> {
    const head = new LineHead();
    let timeMs = block.timeBeforeMs ?? 0;
    const line = blankLine(bytes, this.streams.all[0]!);
    for (let from = 0; from < bytes.length; ) {
      const to = endOfLine(bytes, from);
      if (head.read(bytes, from, to)) timeMs = head.timeMs;
      const stream = this.streams.ofHead(head);
      if (isSelected(stream)) {
        line.from = from;
        line.to = to;
        line.timeMs = timeMs;
        line.stream = stream;
        line.offset = offset + from;
        yield line;
      }
      from = to + 1;
    }
  }

  *#scanHits(
    offset: number,
    bytes: Buffer,
    isSelected: (stream: LogStream) => boolean,
    needle: Buffer,
  ): Generator<ScannedLine, void> {
    const head = new LineHead();
    const line = blankLine(bytes, this.streams.all[0]!);
    for (let hit = bytes.indexOf(needle); hit >= 0; ) {
      const from = hit === 0 ? 0 : bytes.lastIndexOf(NEWLINE, hit - 1) + 1;
      const to = endOfLine(bytes, hit);
      head.read(bytes, from, to);
      const stream = this.streams.ofHead(head);
      if (isSelected(stream)) {
        line.from = from;
        line.to = to;
        line.timeMs = head.timeMs;
        line.stream = stream;
        line.offset = offset + from;
        yield line;
      }
      hit = to + 1 < bytes.length ? bytes.indexOf(needle, to + 1) : -1;
    }
  }
}

/** Returns the name of the nth file of a source, counted from 0: `node-0.ndjson`, `node-0.1.ndjson`, ... */
export function logFileName(source: string, segment: number): string {
  return segment === 0 ? `${source}.ndjson` : `${source}.${segment}.ndjson`;
}

export function parseLogFileName(file: string): { readonly source: string; readonly segment: number } {
  const [, source = '', segment = 0] = /^(.*?)(?:\.(\d+))?\.ndjson$/.exec(path.basename(file)) ?? [];
  return { source, segment: Number(segment) };
}

/** Returns the sorted paths of the log files in a folder; empty if it does not exist. */
export function logFilesIn(directory: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ndjson'))
    .map((entry) => path.join(directory, entry.name))
    .sort();
}

/** Reads up to `length` bytes at `position`; fewer only at the end of the file. */
export function readFully(fd: number, buffer: Buffer, position: number, length: number): number {
  let done = 0;
  while (done < length) {
    const read = readSync(fd, buffer, done, length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function endOfLine(bytes: Buffer, from: number): number {
  const to = bytes.indexOf(NEWLINE, from);
  return to < 0 ? bytes.length : to;
}

function blankLine(bytes: Buffer, stream: LogStream): ScannedLine {
  return { bytes, from: 0, to: 0, timeMs: 0, stream, offset: 0 };
}
