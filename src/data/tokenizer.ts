import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Kitoken } from 'kitoken/node';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { END_OF_TEXT } from './bpe-trainer.js';

export interface Tokenizer {
  readonly vocabSize: number;
  /** Id of `<|endoftext|>`, which ends every document. */
  readonly endOfText: number;
  /** Of the tokenizer.json file, in lower-case hex. */
  readonly sha256: string;
  /** Token ids of a text; `<|endoftext|>` in the text is ordinary text. */
  encode(text: string): Uint32Array;
  /** Text of token ids, without special tokens; bytes that are not UTF-8 (a cut character) become U+FFFD. */
  decode(ids: ArrayLike<number>): string;
}

const fileSchema = z.object({
  added_tokens: z.array(z.object({ id: z.number().int(), content: z.string() })),
  model: z.object({ type: z.literal('BPE'), vocab: z.record(z.string(), z.number().int().min(0)) }),
});

/**
 * Opens a HuggingFace `tokenizer.json` of a byte-level BPE with an `<|endoftext|>` token.
 * @throws TrainerError `BAD_INPUT` if the file is missing, is not such a tokenizer, or its ids have gaps
 */
export function loadTokenizer(file: string): Tokenizer {
  const bytes = readTokenizer(file);
  const { vocabSize, endOfText } = inspect(file, bytes);
  const kitoken = parse(file, () => Kitoken.from_tokenizers(bytes));
  // A byte order mark is ordinary text here; by default the decoder would drop it.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    vocabSize,
    endOfText,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    encode: (text) => kitoken.encode(text, false),
    decode: (ids) => utf8.decode(kitoken.decode(Uint32Array.from(ids), false)),
  };
}

function readTokenizer(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `no tokenizer: ${file} cannot be read`, {}, { cause: error });
  }
}

function inspect(file: string, bytes: Buffer): { vocabSize: number; endOfText: number } {
  const { model, added_tokens } = parse(file, () => fileSchema.parse(JSON.parse(bytes.toString('utf8'))));
  const idOf = new Map(Object.entries(model.vocab));
  for (const { id, content } of added_tokens) idOf.set(content, id);
  const endOfText = idOf.get(END_OF_TEXT);
  if (endOfText === undefined)
    throw new TrainerError('BAD_INPUT', `tokenizer ${file}: it has no ${END_OF_TEXT} token`);
  const highest = [...idOf.values()].reduce((a, b) => Math.max(a, b), 0);
  if (new Set(idOf.values()).size !== highest + 1)
    throw new TrainerError(
      'BAD_INPUT',
      `tokenizer ${file}: ids do not run from 0 to ${highest} without gaps`,
    );
  return { vocabSize: highest + 1, endOfText };
}

function parse<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `tokenizer ${file}: not a HuggingFace tokenizer.json of a byte-level BPE`,
      {},
      { cause: error },
    );
  }
}
