import { closeSync, openSync, readSync } from 'node:fs';
import type { SourceFile } from '../read/source-files.js';
import { readError, type Span } from '../read/span.js';
import { layoutOf, type TextSource } from '../read/text-source.js';

/** Stored bytes of text in one shard. */
export const PART_BYTES = 4 << 20;
const MAX_FILES = 4096;
/** How far a text file without separators is searched for the end of a line. */
const LINE_BYTES = 1 << 16;

/** A piece of a domain's text that is prepared as a unit: a range of one file, or several small files. */
export interface Part {
  readonly spans: readonly (Span & Pick<SourceFile, 'mtimeMs'>)[];
  readonly bytes: number;
}

/**
 * Splits files into parts, in order. The end of a group of small files depends on their names alone, so that
 * an added file changes only the group that it joins. Compressed files, CSV and Parquet are not split.
 *
 * @throws TrainerError `BAD_INPUT` if a file cannot be read
 */
export function* partsOf(files: readonly SourceFile[], source: TextSource): Generator<Part> {
  let group: SourceFile[] = [];
  let bytes = 0;
  const grouped = (): Part => {
    const part = { spans: group.map((each) => ({ ...each, begin: 0, end: each.bytes })), bytes };
    group = [];
    bytes = 0;
    return part;
  };
  for (const file of files) {
    if (file.bytes > PART_BYTES) {
      if (group.length > 0) yield grouped();
      yield* rangesOf(file, source);
      continue;
    }
    group.push(file);
    bytes += file.bytes;
    if (bytes >= PART_BYTES || group.length === MAX_FILES || endsGroup(file)) yield grouped();
  }
  if (group.length > 0) yield grouped();
}

/** Returns true for such a share of the files that groups have about `PART_BYTES`. */
function endsGroup({ file, bytes }: SourceFile): boolean {
  let hash = 0x811c9dc5;
  for (let i = 0; i < file.length; i++) hash = Math.imul(hash ^ file.charCodeAt(i), 0x01000193);
  return (hash >>> 0) / 2 ** 32 < Math.max(bytes / PART_BYTES, 1 / MAX_FILES);
}

function* rangesOf(file: SourceFile, source: TextSource): Generator<Part> {
  const { format, compression } = layoutOf(file.file, source);
  const canSplit = compression === null && (format === 'text' || format === 'jsonl');
  const mark = format === 'jsonl' ? '\n' : (source.separator ?? null);
  for (let begin = 0; begin < file.bytes; ) {
    const isLast = !canSplit || file.bytes - begin < 1.5 * PART_BYTES;
    const end = isLast ? file.bytes : boundaryAfter(file, begin + PART_BYTES, mark);
    yield { spans: [{ ...file, begin, end }], bytes: end - begin };
    begin = end;
  }
}

/**
 * Returns the end of the first separator at or after a position; without separators, the end of a line that ends soon,
 * else of a character.
 */
function boundaryAfter({ file, bytes }: SourceFile, position: number, mark: string | null): number {
  const wanted = Buffer.from(mark ?? '\n');
  const window = Buffer.alloc(LINE_BYTES);
  try {
    const fd = openSync(file, 'r');
    try {
      // A separator may span two windows.
      for (let at = position; at < bytes; at += LINE_BYTES - wanted.length + 1) {
        const read = readSync(fd, window, 0, LINE_BYTES, at);
        const found = window.subarray(0, read).indexOf(wanted);
        if (found >= 0) return at + found + wanted.length;
        if (mark === null) return position + window.findIndex((byte) => (byte & 0xc0) !== 0x80);
        if (read < LINE_BYTES) break;
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw readError(file, error);
  }
  return bytes;
}
