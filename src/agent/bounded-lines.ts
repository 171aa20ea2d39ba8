import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** Longer lines are cut, so that a batch of lines stays far below gRPC's message limit. */
export const MAX_LINE_CHARS = 16 << 10;

/** Calls `onLine` for every line of a UTF-8 stream; a line that is too long is cut, with a note of how much is missing. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let line = '';
  let numCut = 0;
  const add = (text: string) => {
    const kept = text.slice(0, MAX_LINE_CHARS - line.length);
    line += kept;
    numCut += text.length - kept.length;
  };
  const end = () => {
    onLine(numCut === 0 ? line.replace(/\r$/, '') : `${line} [... ${numCut} more characters]`);
    line = '';
    numCut = 0;
  };
  stream.on('data', (chunk: Buffer) => {
    const parts = decoder.write(chunk).split('\n');
    for (const [i, part] of parts.entries()) {
      add(part);
      if (i < parts.length - 1) end();
    }
  });
  stream.on('end', () => {
    add(decoder.end());
    if (line !== '') end();
  });
}
