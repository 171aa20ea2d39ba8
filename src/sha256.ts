import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, readSync } from 'node:fs';
import type { FileDigest } from '@locmoe/run-format';
import { openRegular } from '@locmoe/run-format/regular-file';

const CHUNK_BYTES = 4 << 20;

/** Returns the SHA-256 in lower-case hex. */
export function sha256(contents: string | Uint8Array): string {
  return createHash('sha256').update(contents).digest('hex');
}

/** Returns the size and SHA-256 of a file, or of its bytes [begin, end), read in pieces. */
export function digestFile(path: string, begin = 0, end = Number.POSITIVE_INFINITY): FileDigest {
  const hash = createHash('sha256');
  let bytes = 0;
  const file = openRegular(path);
  try {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, fstatSync(file).size + 1));
    for (let read = -1; read !== 0; bytes += read) {
      read = readSync(file, chunk, 0, Math.min(chunk.length, end - begin - bytes), begin + bytes);
      hash.update(chunk.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Computes `digestFile` without blocking the event loop for longer than a piece takes. */
export async function digestFileAside(path: string): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
