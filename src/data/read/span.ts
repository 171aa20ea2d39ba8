import { isUtf8 } from 'node:buffer';
import { TrainerError } from '../../errors.js';

/** Bytes of a file as they are stored: all of it, or a range that begins and ends where a document does. */
export interface Span {
  /** Absolute. */
  readonly file: string;
  readonly begin: number;
  readonly end: number;
}

/** Callbacks of a reader. */
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
/** A short file with so many is not refused. */
const A_FEW = 8;
/** Text is judged once it is longer, and at its end. */
const BEGINNING_CHARS = 1 << 20;

/** Makes characters of the bytes of one span, and counts those that are none over all of it. */
export class Decoder {
  readonly #onInvalid: Reading['onInvalid'];
  #chars = 0;
  #lost = 0;

  constructor(
    private readonly file: string,
    { onInvalid }: Reading,
  ) {
    this.#onInvalid = onInvalid;
  }

  /** @throws TrainerError `BAD_INPUT` if too much of a longer beginning is not UTF-8 */
  decode(bytes: Buffer): string {
    const text = bytes.toString('utf8');
    this.count(text, isUtf8(bytes));
    return text;
  }

  /**
   * Counts what was decoded elsewhere.
   *
   * @throws TrainerError as `decode`
   */
  count(text: string, isWhole: boolean): void {
    this.#chars += text.length;
    if (!isWhole) {
      this.#lost += text.split('\ufffd').length - 1;
      this.#onInvalid(this.file);
    }
    if (this.#chars > BEGINNING_CHARS) this.end();
  }

  /** @throws TrainerError `BAD_INPUT` if too much of the span is not UTF-8 */
  end(): void {
    if (this.#lost > A_FEW + MAX_INVALID_SHARE * this.#chars)
      throw refusal(this.file, 'is not UTF-8 text; convert it (iconv -t UTF-8) or leave it out');
  }
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
