/** Lines of one stream in a block. */
export interface StreamCount {
  lines: number;
  /** Number of bytes without newlines. */
  bytes: number;
}

const MAX_LINES = 512;
const MAX_BYTES = 1 << 18;

/**
 * An entry of the sparse index: consecutive lines of a file, with their time range and counts by stream. The
 * last block of a file grows.
 */
export class Block {
  /** Offset in the file, exclusive, after a newline. */
  end: number;
  numLines = 0;
  minMs = Number.POSITIVE_INFINITY;
  maxMs = Number.NEGATIVE_INFINITY;
  /** Time of the last record so far, in this or an earlier block. */
  lastMs: number | null;
  /** Whether some lines are not records; these have the time of the record before them. */
  hasForeign = false;
  readonly counts = new Map<number, StreamCount>();

  /**
   * @param offset start in the file
   * @param timeBeforeMs time of the record before the block, which foreign lines at its start take; null if
   *   there is none
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

  extendTo(timeMs: number): void {
    if (timeMs < this.minMs) this.minMs = timeMs;
    if (timeMs > this.maxMs) this.maxMs = timeMs;
  }
}
