import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { MAX_LINE_CHARS, readLines } from '../../src/agent/bounded-lines.js';

async function linesOf(...chunks: (string | Buffer)[]): Promise<string[]> {
  const lines: string[] = [];
  const stream = Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  );
  readLines(stream, (line) => lines.push(line));
  await finished(stream);
  return lines;
}

describe('the lines of a stream', () => {
  it('are those of its text, however it is cut to chunks', async () => {
    const bytes = Buffer.from('één\r\n\nzwei 🙂\nlast');
    const lines = ['één', '', 'zwei 🙂', 'last'];
    expect(await linesOf(bytes)).toEqual(lines);
    expect(await linesOf(...[...bytes].map((byte) => Buffer.of(byte)))).toEqual(lines);
    expect(await linesOf('one\n')).toEqual(['one']);
  });

  it('have a bounded length, and say how much was cut', async () => {
    const chunk = 'x'.repeat(60_000);
    const lines = await linesOf('first\n', ...Array.from({ length: 1000 }, () => chunk), '\nlast\n');
    expect(lines).toEqual([
      'first',
      `${'x'.repeat(MAX_LINE_CHARS)} [... ${60_000_000 - MAX_LINE_CHARS} more characters]`,
      'last',
    ]);
  });
});
