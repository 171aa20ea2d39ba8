import { closeSync, openSync, readSync } from 'node:fs';
import { MAX_RECORD_BYTES, refusal, type Span } from './span.js';

const NEWLINE = 10;

/** Whole lines, and the number of the first one, counted from 1 at the beginning of the span. */
export interface Lines {
  readonly bytes: Buffer;
  readonly first: number;
}

/**
 * Yields the lines of a span, in batches.
 *
 * @throws TrainerError `BAD_INPUT` with file and line if a line is too long
 */
export async function* linesOf(windows: AsyncIterable<Buffer>, span: Span): AsyncGenerator<Lines> {
  let first = 1;
  let parts: Buffer[] = [];
  let length = 0;
  const take = (last: Buffer): Lines => {
    const lines = { bytes: Buffer.concat([...parts, last]), first };
    for (let at = lines.bytes.indexOf(NEWLINE); at >= 0; at = lines.bytes.indexOf(NEWLINE, at + 1)) first++;
    return lines;
  };
  for await (const window of windows) {
    const end = window.lastIndexOf(NEWLINE) + 1;
    const rest = window.subarray(end);
    if (end > 0) {
      yield take(window.subarray(0, end));
      parts = [];
      length = 0;
    }
    parts.push(rest);
    length += rest.length;
    if (length > MAX_RECORD_BYTES)
      throw refusal(lineIn(span, first), `is longer than ${MAX_RECORD_BYTES >> 20} MiB`);
  }
  if (length > 0) yield take(Buffer.alloc(0));
}

/** Returns file:line, where `line` counts from the beginning of the span. */
export function lineIn({ file, begin }: Span, line: number): string {
  let before = 0;
  const window = Buffer.alloc(1 << 20);
  const fd = openSync(file, 'r');
  try {
    for (let at = 0; at < begin; ) {
      const read = readSync(fd, window, 0, Math.min(window.length, begin - at), at);
      if (read === 0) break;
      for (let i = window.indexOf(NEWLINE); i >= 0 && i < read; i = window.indexOf(NEWLINE, i + 1)) before++;
      at += read;
    }
  } finally {
    closeSync(fd);
  }
  return `${file}:${before + line}`;
}
