import { createHash } from 'node:crypto';
import { Kitoken } from 'kitoken/node';
import { TrainerError } from '../../errors.js';
import { SPACE, withoutDummyPrefix } from './sentence-piece.js';
import { inspectTokenizer, readTokenizerFile, type SpecialToken } from './tokenizer-file.js';

export interface Tokenizer {
  /** Highest id + 1. */
  readonly vocabSize: number;
  /** Id of the token that ends every document. */
  readonly endOfText: number;
  /** Name of that token, such as `<|endoftext|>`. */
  readonly endOfTextName: string;
  readonly specialTokens: readonly SpecialToken[];
  /** SHA-256 of the tokenizer.json file, in lower-case hex. */
  readonly sha256: string;
  /**
   * Returns the token ids of a text; the name of a special token in the text is ordinary text.
   *
   * @throws TrainerError `BAD_INPUT` for a word of about a million characters
   */
  encode(text: string): Uint32Array;
  /**
   * Returns the text of token ids, without special tokens unless `special` asks for their names; bytes that are not
   * UTF-8 (a cut character) become U+FFFD. Ids without a token give nothing.
   */
  decode(ids: ArrayLike<number>, special?: boolean): string;
  /** Returns `decode` as UTF-8 bytes, since a character may begin in one token and end in the next. */
  bytes(ids: ArrayLike<number>, special?: boolean): Uint8Array;
}

/**
 * Opens a HuggingFace `tokenizer.json` of a byte-level BPE, or of SentencePiece's BPE with bytes.
 *
 * @param endOfText name of the token that ends a text, if it is none of the usual names
 * @param origin name of the file in messages, if `file` is a copy
 * @throws TrainerError `BAD_INPUT` if the file is missing, or is not a tokenizer of a supported kind
 */
export function loadTokenizer(file: string, endOfText: string | null = null, origin = file): Tokenizer {
  const bytes = readTokenizerFile(file);
  const facts = inspectTokenizer(origin, bytes, endOfText);
  const kitoken = parse(
    origin,
    facts.spaceIds === null ? bytes : Buffer.from(withoutDummyPrefix(bytes.toString('utf8'))),
  );
  // A byte order mark is ordinary text here; by default the decoder would drop it.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  const bytesOf = (ids: ArrayLike<number>, special = false) => {
    const known = Uint32Array.from(ids).filter((id) => facts.ids.has(id));
    // If the bytes of `▁` were decoded together, they would become a space.
    return facts.spaceIds === null
      ? kitoken.decode(known, special)
      : Buffer.concat(Array.from(known, (id) => kitoken.decode(Uint32Array.of(id), special)));
  };
  return {
    vocabSize: facts.vocabSize,
    endOfText: facts.endOfText.id,
    endOfTextName: facts.endOfText.content,
    specialTokens: facts.specialTokens,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    encode(text) {
      const { spaceIds } = facts;
      if (spaceIds === null || !text.includes(SPACE)) return encode(kitoken, text);
      return Uint32Array.from(
        text.split(SPACE).flatMap((part, i) => [...(i === 0 ? [] : spaceIds), ...encode(kitoken, part)]),
      );
    },
    decode: (ids, special) => utf8.decode(bytesOf(ids, special)),
    bytes: bytesOf,
  };
}

function encode(kitoken: Kitoken, text: string): Uint32Array {
  try {
    return kitoken.encode(text, false);
  } catch (error) {
    // The regular expressions of some tokenizers run out of stack.
    throw new TrainerError(
      'BAD_INPUT',
      `a text of ${text.length} characters: a word in it is too long for the tokenizer`,
      {},
      { cause: error },
    );
  }
}

function parse(file: string, bytes: Buffer): Kitoken {
  try {
    return Kitoken.from_tokenizers(bytes);
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `tokenizer ${file}: kitoken cannot read it (${error instanceof Error ? error.message : error})`,
      {},
      { cause: error },
    );
  }
}
