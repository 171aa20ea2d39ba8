import type { Context } from 'hono';
import { LogsError } from '../errors.js';

/** Reads the body of a request. @throws LogsError `BAD_INPUT` as soon as the limit is passed */
export async function readBody(c: Context, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new LogsError('BAD_INPUT', `the body is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
