import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { type Reading, readError, refusal, type Span } from './span.js';
import type { Compression } from './text-source.js';

const WINDOW_BYTES = 1 << 20;
/** Compressed bytes passed to the decompressor at a time, whose output is all in memory: at most 128 KiB for every four bytes. */
const ZSTD_BYTES = 256;
/** The default limit of the zstd program. */
const MAX_ZSTD_WINDOW = 128 << 20;
/** A zero byte among this many first bytes of a file means that the file is not text, as in git. */
const LOOK_BYTES = 8000;

/**
 * Yields the bytes of a span, decompressed, in windows of about a megabyte.
 *
 * @throws TrainerError `BAD_INPUT` if the file vanished, was truncated, cannot be read or decompressed, or is not text
 */
export async function* bytesOf(
  span: Span,
  compression: Compression,
  reading: Reading,
): AsyncGenerator<Buffer> {
  let isFirst = span.begin === 0;
  try {
    for await (const window of decompressed(span, compression, reading)) {
      if (isFirst) assertText(window, span.file);
      isFirst = false;
      yield window;
    }
  } catch (error) {
    throw readError(span.file, error);
  }
}

function decompressed(span: Span, compression: Compression, reading: Reading): AsyncIterable<Buffer> {
  if (compression === null) return stored(span, reading);
  return compression === 'gzip' ? gunzipped(span, reading) : unzstd(span, reading);
}

async function* stored({ file, begin, end }: Span, { onBytes }: Reading): AsyncGenerator<Buffer> {
  const fd = openSync(file, 'r');
  try {
    if (fstatSync(fd).size < end) throw refusal(file, 'has become shorter; start again');
    for (let at = begin; at < end; ) {
      const window = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, end - at));
      const read = readSync(fd, window, 0, window.length, at);
      if (read === 0) throw refusal(file, 'has become shorter; start again');
      at += read;
      onBytes(read);
      yield window.subarray(0, read);
    }
  } finally {
    closeSync(fd);
  }
}

async function* gunzipped({ file, begin, end }: Span, { onBytes }: Reading): AsyncGenerator<Buffer> {
  const input = createReadStream(file, { start: begin, end: end - 1, highWaterMark: WINDOW_BYTES });
  const output = createGunzip({ chunkSize: WINDOW_BYTES });
  input.on('data', (window) => onBytes(window.length));
  input.on('error', (error) => output.destroy(error));
  try {
    for await (const window of input.pipe(output)) yield window;
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw code.startsWith('Z_') ? refusal(file, `is no complete gzip file (${message})`, error) : error;
  } finally {
    input.destroy();
  }
}

async function* unzstd(span: Span, reading: Reading): AsyncGenerator<Buffer> {
  let windows: Buffer[] = [];
  const decompressor = new Decompress((window) => windows.push(Buffer.from(window)));
  const push = (window: Buffer, isLast: boolean) => {
    try {
      decompressor.push(window, isLast);
    } catch (error) {
      throw refusal(span.file, `is no complete Zstandard file (${(error as Error).message})`, error);
    }
    const full = windows;
    windows = [];
    return full;
  };
  let isFirst = true;
  for await (const window of stored(span, reading)) {
    if (isFirst && windowOf(window) > MAX_ZSTD_WINDOW)
      throw refusal(
        span.file,
        `needs a window of ${windowOf(window) / 2 ** 20} MiB; compress it without --long`,
      );
    isFirst = false;
    for (let at = 0; at < window.length; at += ZSTD_BYTES)
      yield* push(window.subarray(at, at + ZSTD_BYTES), false);
  }
  yield* push(Buffer.alloc(0), true);
}

/** Returns the bytes of history that decompressing the first frame of a Zstandard file takes (RFC 8878, 3.1.1.1). */
function windowOf(file: Buffer): number {
  const [flags = 0, descriptor = 0] = file.subarray(4);
  const isSingleSegment = (flags >> 5) & 1;
  if (isSingleSegment === 1 || file.length < 6) return 0;
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function assertText(window: Buffer, file: string): void {
  const mark = window.length >= 2 ? window.readUInt16BE(0) : 0;
  if (mark === 0xfffe || mark === 0xfeff)
    throw refusal(file, 'is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)');
  if (window.subarray(0, LOOK_BYTES).includes(0)) throw refusal(file, 'is no text: it has zero bytes');
}
