import { isUtf8 } from 'node:buffer';
import { TrainerError } from '../../errors.js';

/** Bytes of a file as they are stored: all of it, or a range that begins and ends where a document does. */
export interface Span {
  /** Absolute. */
  readonly file: string;
  readonly begin: number;
  readonly end: number;
}

/** What a reader tells while it reads. */
export interface Reading {
  /** Stored bytes read since the last call. */
  readonly onBytes: (bytes: number) => void;
  /** A file has bytes that are not UTF-8; they are left out. */
  readonly onInvalid: (file: string) => void;
}

/** Longest line or record that is read; a document may be longer in text files alone. */
export const MAX_RECORD_BYTES = 64 << 20;
/** More than this share of characters that are none: not text, or another encoding. */
const MAX_INVALID_SHARE = 0.05;

/** @throws TrainerError `BAD_INPUT` if too much of it is not UTF-8 */
export function decode(bytes: Buffer, file: string, { onInvalid }: Reading): string {
  const text = bytes.toString('utf8');
  if (isUtf8(bytes)) return text;
  const lost = text.split('\ufffd').length - 1;
  if (lost > MAX_INVALID_SHARE * text.length)
    throw refusal(file, 'is not UTF-8 text; convert it (iconv -t UTF-8) or leave it out');
  onInvalid(file);
  return text;
}

export function refusal(place: string, what: string, cause?: unknown): TrainerError {
  return new TrainerError('BAD_INPUT', `${place} ${what}`, {}, { cause });
}

/** The error for a file that could not be read, in a user's words. */
export function readError(file: string, error: unknown): TrainerError {
  if (error instanceof TrainerError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return refusal(file, 'vanished before it was read; start again', error);
  return refusal(file, `cannot be read (${message})`, error);
}
