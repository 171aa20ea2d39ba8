import { isUtf8 } from 'node:buffer';
import { readFileSync, type Stats, statSync } from 'node:fs';
import { isOfKernel, kindOf } from '@locmoe/run-format/regular-file';
import { refusal } from './question.js';

/** Limit on the size of a file of questions or answers. */
const MAX_FILE_BYTES = 256 << 20;
const NEWLINE = 10;

/** @throws TrainerError `BAD_INPUT` if the file does not exist */
export function statOf(file: string): Stats {
  try {
    return statSync(file);
  } catch (error) {
    throw refusal(file, `cannot be read (${(error as Error).message})`, error);
  }
}

/** @throws TrainerError `BAD_INPUT` if the file is empty, too large or cannot be read */
export function readBytes(file: string): Buffer {
  const stats = statOf(file);
  if (stats.isDirectory()) throw refusal(file, 'is a folder; a file is expected');
  const other = isOfKernel(file) ? "one of the kernel's" : kindOf(stats);
  if (other !== null) throw refusal(file, `is no regular file but ${other}`);
  if (stats.size > MAX_FILE_BYTES)
    throw refusal(file, `has ${stats.size} bytes; at most ${MAX_FILE_BYTES >> 20} MiB are read`);
  try {
    const bytes = readFileSync(file);
    if (bytes.length === 0) throw refusal(file, 'is empty');
    return bytes;
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw refusal(file, `cannot be read (${error.message})`, error);
  }
}

/** @throws TrainerError `BAD_INPUT` naming the first line with bytes that are not UTF-8 */
export function asText(file: string, bytes: Buffer): string {
  if (!isUtf8(bytes))
    throw refusal(`${file}:${lineOfBrokenBytes(bytes)}`, 'is not UTF-8; convert the file (iconv -t UTF-8)');
  const text = bytes.toString('utf8');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function lineOfBrokenBytes(bytes: Buffer): number {
  let line = 1;
  for (let begin = 0; ; line++) {
    const end = bytes.indexOf(NEWLINE, begin);
    if (end < 0 || !isUtf8(bytes.subarray(begin, end))) return line;
    begin = end + 1;
  }
}
