import { readFileSync } from 'node:fs';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { TrainerError } from 'locmoe/internal/errors';
import { z } from 'zod';
import { chatTemplate } from '../huggingface/chat-template.js';
import { type GgufValue, ggufValue } from './gguf-file.js';

/** Kinds of tokens by their numbers in the file. */
const KIND = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

// llama.cpp has the regular expressions of pre-tokenizers in its code; a file only names one.
const CONTRACTIONS_AND_WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|";
const REST = '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const BY_SPLIT: Readonly<Record<string, string>> = {
  [`${CONTRACTIONS_AND_WORDS}\\p{N}{1,3}${REST}`]: 'llama-bpe',
  [`${CONTRACTIONS_AND_WORDS}\\p{N}${REST}`]: 'qwen2',
};

const byteLevel = z.object({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false),
  use_regex: z.boolean().default(true),
});
const split = z.object({
  type: z.literal('Split'),
  pattern: z.object({ Regex: z.string() }),
  behavior: z.literal('Isolated'),
  invert: z.literal(false),
});
const preTokenizer = z.union([
  byteLevel.extend({ use_regex: z.literal(true).default(true) }).transform(() => 'gpt-2'),
  z
    .object({
      type: z.literal('Sequence'),
      pretokenizers: z.tuple([split, byteLevel.extend({ use_regex: z.literal(false) })]),
    })
    .transform(({ pretokenizers: [{ pattern }] }) => BY_SPLIT[pattern.Regex]),
]);
/** The fields of a tokenizer file that are written to the GGUF file; `loadTokenizer` has validated them. */
interface TokenizerFile {
  readonly normalizer?: { readonly type: string } | null;
  readonly pre_tokenizer?: unknown;
  readonly added_tokens?: readonly {
    readonly id: number;
    readonly content: string;
    readonly special?: boolean;
  }[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly string[])[];
  };
}

/**
 * Returns the fields for a byte-level BPE, and for the tokens with which a text begins and ends.
 *
 * @throws TrainerError `BAD_INPUT` for a pre-tokenizer or a normalizer that llama.cpp does not have
 */
export function tokenizerFields(
  file: string,
  config: Pick<RunConfig, 'model' | 'data'>,
): Readonly<Record<string, GgufValue>> {
  const { endOfText } = loadTokenizer(file, config.data.endOfText);
  const parsed: TokenizerFile = JSON.parse(readFileSync(file, 'utf8'));
  const { tokens, kinds } = tokensOf(parsed, config.model.vocabSize);
  const { string, strings, int32s, uint32, bool } = ggufValue;
  return {
    'tokenizer.ggml.model': string('gpt2'),
    'tokenizer.ggml.pre': string(preTokenizerOf(file, parsed)),
    'tokenizer.ggml.tokens': strings(tokens),
    'tokenizer.ggml.token_type': int32s(kinds),
    'tokenizer.ggml.merges': strings(
      parsed.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
    ),
    'tokenizer.ggml.bos_token_id': uint32(endOfText),
    'tokenizer.ggml.eos_token_id': uint32(endOfText),
    // A text begins with an end-of-text token, as in training.
    'tokenizer.ggml.add_bos_token': bool(true),
    ...templateFields(config),
  };
}

function preTokenizerOf(file: string, { normalizer, pre_tokenizer }: TokenizerFile): string {
  const name = preTokenizer.safeParse(pre_tokenizer).data;
  // llama.cpp does not normalize, and published files of Qwen omit its NFC as well.
  const isNormalized = normalizer && !(name === 'qwen2' && normalizer.type === 'NFC');
  if (name !== undefined && !isNormalized) return name;
  throw new TrainerError(
    'BAD_INPUT',
    `${file} (data.tokenizer) cannot be exported to GGUF: its ${isNormalized ? 'normalizer' : 'pre_tokenizer'} is none that ` +
      'llama.cpp knows by a name; those of GPT-2, Llama 3 and Qwen are',
  );
}

/** Returns a token for every id of the vocabulary, even if nothing is encoded as that token. */
function tokensOf({ model, added_tokens = [] }: TokenizerFile, vocabSize: number) {
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const kinds = new Array<number>(vocabSize).fill(KIND.unused);
  const put = (token: string, id: number, kind: number) => {
    tokens[id] = token;
    kinds[id] = kind;
  };
  for (const [token, id] of Object.entries(model.vocab)) put(token, id, KIND.normal);
  for (const { content, id, special } of added_tokens)
    put(content, id, special ? KIND.control : KIND.userDefined);
  return { tokens, kinds };
}

function templateFields(config: Pick<RunConfig, 'data'>): Readonly<Record<string, GgufValue>> {
  const templates = chatTemplate(config) ?? [];
  const named = typeof templates === 'string' ? [{ name: 'default', template: templates }] : templates;
  const field = 'tokenizer.chat_template';
  return Object.fromEntries(
    named.map(({ name, template }) => [
      name === 'default' ? field : `${field}.${name}`,
      ggufValue.string(template),
    ]),
  );
}
