import { closeSync, openSync, readSync } from 'node:fs';
import { Decoder, MAX_RECORD_BYTES, type Reading, refusal, type Span } from './span.js';

const NEWLINE = 10;

/**
 * The text in one field of each line of JSON; empty lines, and null in that field, are skipped.
 *
 * @throws TrainerError `BAD_INPUT` with file and line of what is no JSON, has no text in the field, or is too
 *   long
 */
export async function* jsonLines(
  windows: AsyncIterable<Buffer>,
  span: Span,
  field: string,
  reading: Reading,
): AsyncGenerator<string[]> {
  let line = 1;
  const decoder = new Decoder(span.file, reading);
  const texts = (block: Buffer): string[] => {
    const found: string[] = [];
    const lines = decoder.decode(block).split('\n');
    if (lines.at(-1) === '') lines.pop();
    for (const written of lines) {
      const text = fieldOf(written, field);
      if (typeof text === 'object') throw refusal(placeOf(span, line), text.problem);
      if (text !== undefined) found.push(text);
      line++;
    }
    return found;
  };
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const window of windows) {
    const end = window.lastIndexOf(NEWLINE) + 1;
    if (end > 0) yield texts(Buffer.concat([...parts, window.subarray(0, end)]));
    const rest = window.subarray(end);
    parts = end > 0 ? [rest] : [...parts, rest];
    bytes = end > 0 ? rest.length : bytes + rest.length;
    if (bytes > MAX_RECORD_BYTES)
      throw refusal(placeOf(span, line), `is longer than ${MAX_RECORD_BYTES >> 20} MiB`);
  }
  if (bytes > 0) yield texts(Buffer.concat(parts));
  decoder.end();
}

function fieldOf(written: string, field: string): string | undefined | { readonly problem: string } {
  if (written.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(written.startsWith('\ufeff') ? written.slice(1) : written);
  } catch (error) {
    return { problem: `is no JSON (${(error as Error).message.slice(0, 100)})` };
  }
  const fields = new Map<string, unknown>(
    typeof value === 'object' && value !== null ? Object.entries(value) : [],
  );
  const text = fields.get(field);
  if (typeof text === 'string') return text;
  if (text === null) return undefined;
  const names = [...fields.keys()].slice(0, 8).join(', ') || 'none';
  return { problem: `has no text in field ${JSON.stringify(field)} (fields: ${names})` };
}

/** file:line, where `line` counts from the beginning of the span. */
function placeOf({ file, begin }: Span, line: number): string {
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
