import { isUtf8 } from 'node:buffer';
import { TrainerError } from '../../errors.js';

/** Stored bytes of a file: all of them, or a range that begins and ends at the boundary of a document. */
export interface Span {
  /** Absolute path. */
  readonly file: string;
  readonly begin: number;
  readonly end: number;
}

/** Callbacks of a reader. */
export interface Reading {
  /** Called with the number of stored bytes read since the last call. */
  readonly onBytes: (bytes: number) => void;
  /** Called if a file has bytes that are not UTF-8, which are left out. */
  readonly onInvalid: (file: string) => void;
}

/** Length limit of a line or record; only documents of text files may be longer. */
export const MAX_RECORD_BYTES = 64 << 20;
/** A file with a greater share of invalid characters is not text, or has another encoding. */
const MAX_INVALID_SHARE = 0.05;
/** A file may have this many invalid characters, however short it is. */
const A_FEW = 8;
/** Text is checked once it exceeds this length, and at its end. */
const BEGINNING_CHARS = 1 << 20;

/** Decodes the bytes of one span, and counts invalid characters over all of it. */
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

  /** @throws TrainerError `BAD_INPUT` if the text is long and too much of it is not UTF-8 */
  decode(bytes: Buffer): string {
    const text = bytes.toString('utf8');
    this.count(text, isUtf8(bytes));
    return text;
  }

  /**
   * Counts the characters of text that was decoded elsewhere.
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

/** Returns the error for a file that could not be read, in a user's words. */
export function readError(file: string, error: unknown): TrainerError {
  if (error instanceof TrainerError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return refusal(file, 'vanished before it was read; start again', error);
  return refusal(file, `cannot be read (${message})`, error);
}
