/** A stream's share of a block. */
export interface StreamCount {
  lines: number;
  /** Of the lines, without newlines. */
  bytes: number;
}

const MAX_LINES = 512;
const MAX_BYTES = 1 << 18;

/**
 * An entry of the sparse index: consecutive lines of a file, and what can be said of them without reading them. The
 * last block of a file still grows.
 */
export class Block {
  /** In the file, exclusive; behind a newline. */
  end: number;
  numLines = 0;
  minMs = Number.POSITIVE_INFINITY;
  maxMs = Number.NEGATIVE_INFINITY;
  /** Time of its last line that has one, or of the last before it. */
  lastMs: number | null;
  /** Some lines are not ours and have the time of the line before them. */
  hasForeign = false;
  /** By stream id. */
  readonly counts = new Map<number, StreamCount>();

  /**
   * @param offset where it begins in the file
   * @param timeBeforeMs of the last line before it, the time of foreign lines at its beginning; null if there is none
   */
  constructor(
    readonly offset: number,
    public timeBeforeMs: number | null,
  ) {
    this.end = offset;
    this.lastMs = timeBeforeMs;
  }

  get isFull(): boolean {
    return this.numLines >= MAX_LINES || this.end - this.offset >= MAX_BYTES;
  }

  /** Takes in a line of `bytes` bytes and its newline. */
  add(stream: number, bytes: number): void {
    this.end += bytes + 1;
    this.numLines++;
    const count = this.counts.get(stream);
    if (count === undefined) this.counts.set(stream, { lines: 1, bytes });
    else {
      count.lines++;
      count.bytes += bytes;
    }
  }

  /** Takes in a line that nobody is to see. */
  skip(bytes: number): void {
    this.end += bytes + 1;
    this.numLines++;
  }

  /** Widens its range of time. */
  reach(timeMs: number): void {
    if (timeMs < this.minMs) this.minMs = timeMs;
    if (timeMs > this.maxMs) this.maxMs = timeMs;
  }
}
