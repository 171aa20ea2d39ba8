import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { z } from 'zod';
import { TrainerError } from '../../errors.js';
import { BYTE_CHARACTERS } from './byte-level.js';
import { BYTE_NAMES, spaceIds, unlikeSentencePiece } from './sentence-piece.js';

/**
 * Names of the token that ends a text, in order of preference: GPT-2 and Qwen, Llama 3, Llama 2 and its derivatives,
 * DeepSeek. Some files have several, where the later ones end a turn in a chat.
 */
const END_OF_TEXT_NAMES = [
  '<|endoftext|>',
  '<|end_of_text|>',
  '</s>',
  '<｜end▁of▁sentence｜>',
  '<eos>',
  '<|im_end|>',
];
const NORMALIZERS = ['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents'];
const PRE_TOKENIZERS = ['ByteLevel', 'Split', 'Digits', 'Punctuation'];
/** Larger than any vocabulary; an embedding for a greater id would fit no machine. */
const MAX_ID = 2 ** 24 - 1;
/** Twenty times the largest published file. */
const MAX_BYTES = 2 ** 28;

const addedTokenSchema = z.object({
  id: z.number().int().min(0),
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  special: z.boolean().default(false),
});
type AddedToken = z.output<typeof addedTokenSchema>;
const step = z.looseObject({ type: z.string() });
const fileSchema = z.object({
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: step.extend({ normalizers: z.array(step).optional() }).nullish(),
  pre_tokenizer: step.extend({ pretokenizers: z.array(step).optional() }).nullish(),
  decoder: z.unknown().optional(),
  model: z.object({
    // Old files of GPT-2 lack this field.
    type: z.string().default('BPE'),
    dropout: z.number().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    byte_fallback: z.boolean().nullish(),
    // Zod would take a second for 150,000 entries, so they are checked by hand.
    vocab: z.unknown().optional(),
    merges: z.unknown().optional(),
  }),
});
type TokenizerFile = z.output<typeof fileSchema>;

/** Contents of a HuggingFace `tokenizer.json`. */
export interface TokenizerFacts {
  /** Highest id + 1; ids without a token are unused. */
  readonly vocabSize: number;
  /** The token that ends every document. */
  readonly endOfText: { readonly id: number; readonly content: string };
  /** Ids that encode a `▁` in a text, if `▁` stands for a space in tokens; else null. */
  readonly spaceIds: readonly number[] | null;
  /** Ids that have a token. */
  readonly ids: ReadonlySet<number>;
  readonly specialTokens: readonly SpecialToken[];
}

/** A token that encoding a text never yields. `lstrip`, `rstrip`: it absorbs white space to its left or right. */
export type SpecialToken = Readonly<Pick<AddedToken, 'id' | 'content' | 'lstrip' | 'rstrip'>>;

/** Returns the file that a path names: itself, or `tokenizer.json` in the folder. */
export function tokenizerFileAt(place: string): string {
  return statSync(place, { throwIfNoEntry: false })?.isDirectory()
    ? path.join(place, 'tokenizer.json')
    : place;
}

/** @throws TrainerError `BAD_INPUT` if the file cannot be read */
export function readTokenizerFile(file: string): Buffer {
  try {
    return readRegularFile(file, MAX_BYTES);
  } catch (error) {
    const why = error instanceof TrainerError ? error.message : `${file} cannot be read`;
    throw new TrainerError('BAD_INPUT', `no tokenizer: ${why}`, {}, { cause: error });
  }
}

/**
 * Inspects a `tokenizer.json`: checks that it is a byte-level BPE, or SentencePiece's BPE with bytes, of a
 * kind that gives the same ids here as in HuggingFace's tokenizers, and examines its vocabulary.
 *
 * @param endOfText name of the token that ends a text; by default one of the usual names, else `eos_token`
 *   of the `tokenizer_config.json` beside the file
 * @throws TrainerError `BAD_INPUT` naming the feature that is not supported
 */
export function inspectTokenizer(
  file: string,
  bytes: Buffer,
  endOfText: string | null = null,
): TokenizerFacts {
  const parsed = parseTokenizer(file, bytes);
  const refusal = unsupported(parsed) ?? badVocabulary(parsed);
  if (refusal !== undefined) throw refused(file, refusal);
  const vocab = parsed.model.vocab as Readonly<Record<string, number>>;
  const ids = new Set(Object.values(vocab));
  for (const { id } of parsed.added_tokens) ids.add(id);
  let highest = 0;
  for (const id of ids) highest = Math.max(highest, id);
  if (highest > MAX_ID) throw refused(file, `id ${highest} is out of reach; ids go up to ${MAX_ID}`);
  return {
    vocabSize: highest + 1,
    endOfText: endOfTextOf(file, parsed, endOfText),
    specialTokens: parsed.added_tokens.filter(({ special }) => special),
    spaceIds: parsed.model.byte_fallback ? spaceIds(vocab) : null,
    ids,
  };
}

/** @throws TrainerError `BAD_INPUT` if the file is not a tokenizer */
function parseTokenizer(file: string, bytes: Buffer): TokenizerFile {
  try {
    return fileSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `tokenizer ${file}: not a HuggingFace tokenizer.json of a BPE`,
      {},
      { cause: error },
    );
  }
}

/** Returns the feature that is not supported here or would encode differently; undefined if there is none. */
function unsupported(file: TokenizerFile): string | undefined {
  const { model, added_tokens } = file;
  if (model.type !== 'BPE') return `model type ${model.type} is not supported, only BPE`;
  if (model.dropout) return `dropout ${model.dropout} is not supported: ids would be random`;
  for (const field of ['continuing_subword_prefix', 'end_of_word_suffix'] as const)
    if (model[field]) return `${field} ${JSON.stringify(model[field])} is not supported`;
  const steps = model.byte_fallback ? unlikeSentencePiece(file) : unlikeByteLevel(file);
  if (steps !== undefined) return steps;
  // Special tokens are never searched for in a text.
  const odd = added_tokens.find(
    ({ special, single_word, lstrip, rstrip }) => !special && (single_word || lstrip || rstrip),
  );
  if (odd)
    return `added token ${JSON.stringify(odd.content)}: single_word, lstrip and rstrip are not supported`;
  return undefined;
}

function unlikeByteLevel({ normalizer, pre_tokenizer }: TokenizerFile): string | undefined {
  const normalizers = normalizer && (normalizer.normalizers ?? [normalizer]);
  for (const { type } of normalizers ?? [])
    if (!NORMALIZERS.includes(type))
      return `normalizer ${type} is not supported, only ${NORMALIZERS.join(', ')}`;
  const steps = pre_tokenizer?.pretokenizers ?? [pre_tokenizer];
  for (const type of steps.map((step) => step?.type ?? 'none'))
    if (!PRE_TOKENIZERS.includes(type))
      return `pre-tokenizer ${type} is not supported, only ${PRE_TOKENIZERS.join(', ')}`;
  return steps.some((step) => step?.type === 'ByteLevel') ? undefined : 'it has no pre-tokenizer ByteLevel';
}

function badVocabulary({
  model: { vocab, merges, byte_fallback },
  added_tokens,
}: TokenizerFile): string | undefined {
  if (typeof vocab !== 'object' || vocab === null || !Array.isArray(merges))
    return 'it has no vocab and merges';
  for (const [token, id] of Object.entries(vocab))
    if (!Number.isInteger(id) || id < 0) return `the id of token ${JSON.stringify(token)} is ${id}`;
  const bytes = byte_fallback ? BYTE_NAMES : BYTE_CHARACTERS;
  const byte = bytes.findIndex((name) => !Object.hasOwn(vocab, name));
  if (byte >= 0)
    return `it has no token for byte 0x${byte.toString(16).padStart(2, '0')}, so some text would be lost`;
  const names = new Map<number, string>();
  for (const [token, id] of [
    ...Object.entries(vocab),
    ...added_tokens.map(({ content, id }) => [content, id]),
  ] as [string, number][]) {
    const other = names.get(id) ?? token;
    if (other !== token)
      return `${JSON.stringify(other)} and ${JSON.stringify(token)} have the same id ${id}`;
    names.set(id, token);
  }
  for (const merge of merges) {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const unknown = [...parts, parts.join('')].find((part) => !Object.hasOwn(vocab, String(part)));
    if (parts.length !== 2 || unknown !== undefined)
      return `merge ${JSON.stringify(merge)} uses a token that is not in vocab`;
  }
  return undefined;
}

function endOfTextOf(
  file: string,
  { added_tokens }: TokenizerFile,
  given: string | null,
): TokenizerFacts['endOfText'] {
  const special = new Map(
    added_tokens.flatMap(({ special, content, id }) => (special ? [[content, id]] : [])),
  );
  const names = given === null ? [...END_OF_TEXT_NAMES, ...eosOfConfig(file)] : [given];
  for (const name of names) {
    const id = special.get(name);
    if (id !== undefined) return { id, content: name };
  }
  throw refused(
    file,
    given === null
      ? `it has no end-of-text token of a known name (${END_OF_TEXT_NAMES.join(' ')}); name it with data.endOfText`
      : `it has no special token ${JSON.stringify(given)} (data.endOfText)`,
  );
}

const configSchema = z.object({ eos_token: z.union([z.string(), z.object({ content: z.string() })]) });

/** Returns `eos_token` of the `tokenizer_config.json` beside a tokenizer, if there is one. */
function eosOfConfig(file: string): string[] {
  const config = path.join(path.dirname(file), 'tokenizer_config.json');
  if (!existsSync(config)) return [];
  try {
    const { eos_token } = configSchema.parse(JSON.parse(readRegularFile(config, MAX_BYTES).toString('utf8')));
    return [typeof eos_token === 'string' ? eos_token : eos_token.content];
  } catch {
    return [];
  }
}

function refused(file: string, what: string): TrainerError {
  return new TrainerError('BAD_INPUT', `tokenizer ${file}: ${what}`);
}
