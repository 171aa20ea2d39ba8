import { lineIn, linesOf } from './lines.js';
import { Decoder, type Reading, refusal, type Span } from './span.js';

/**
 * Yields the text in one field of each line of JSON; skips empty lines, and lines where the field is null.
 *
 * @throws TrainerError `BAD_INPUT` with file and line if a line is not JSON, has no text in the field, or is too long
 */
export async function* jsonLines(
  windows: AsyncIterable<Buffer>,
  span: Span,
  field: string,
  reading: Reading,
): AsyncGenerator<string[]> {
  const decoder = new Decoder(span.file, reading);
  for await (const { bytes, first } of linesOf(windows, span)) {
    const found: string[] = [];
    decoder
      .decode(bytes)
      .split('\n')
      .forEach((written, i) => {
        const text = fieldOf(written, field);
        if (typeof text === 'object') throw refusal(lineIn(span, first + i), text.problem);
        if (text !== undefined) found.push(text);
      });
    yield found;
  }
  decoder.end();
}

function fieldOf(written: string, field: string): string | undefined | { readonly problem: string } {
  if (written.trim() === '') return undefined;
  const { value, problem } = parseLine(written);
  if (problem !== undefined) return { problem };
  const fields = new Map<string, unknown>(
    typeof value === 'object' && value !== null ? Object.entries(value) : [],
  );
  const text = fields.get(field);
  if (typeof text === 'string') return text;
  if (text === null) return undefined;
  const names = [...fields.keys()].slice(0, 8).join(', ') || 'none';
  return { problem: `has no text in field ${JSON.stringify(field)} (fields: ${names})` };
}

/** Returns the value of a line of JSON, which may have a byte order mark; or the reason why it is not JSON. */
export function parseLine(written: string): { readonly value?: unknown; readonly problem?: string } {
  try {
    return { value: JSON.parse(written.startsWith('\ufeff') ? written.slice(1) : written) };
  } catch (error) {
    return { problem: `is no JSON (${(error as Error).message.slice(0, 100)})` };
  }
}
