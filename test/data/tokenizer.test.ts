import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CORPUS_DIR, extractDomain } from '../../src/data/built-in/corpora.js';
import { DOMAINS } from '../../src/data/built-in/sources.js';
import type { Document } from '../../src/data/split.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer/tokenizer.js';

interface HuggingFaceTokenizer {
  encode(text: string): Promise<{ getIds(): number[] }>;
}
const huggingFace = createRequire(import.meta.url)('tokenizers') as {
  readonly Tokenizer: { fromFile(file: string): HuggingFaceTokenizer };
};

let folder: string;
let file: string;
let documents: Document[];
let tokenizer: Tokenizer;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-tokenizer-'));
  file = path.join(folder, 'tokenizer.json');
  const options = {
    corpusDir: CORPUS_DIR,
    corpus: 'standard' as const,
    maxBytes: 100_000,
    validationShare: 0.1,
  };
  const extracted = await Promise.all(DOMAINS.map((domain) => extractDomain(domain, options)));
  documents = extracted.flatMap(({ train, validation }) => [...train, ...validation]);
  writeFileSync(
    file,
    tokenizerJson(
      trainBpe(
        documents.map(({ text }) => text),
        2048,
      ),
    ),
  );
  tokenizer = loadTokenizer(file);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ODD = [
  '',
  ' ',
  '\ufeffbyte order mark',
  'nul \u0000 and \u0085 next line\r\n\t\v\f',
  'emoji 👩‍👩‍👧‍👦 and 𠀀𠀁 outside the plane',
  'é vs e\u0301, ﬁ, \u00a0\u2003 spaces',
  '<|endoftext|> in the text',
  'المثال العربي ภาษาไทย',
  "it's THEY'LL 're  \n\n  x",
  String.fromCodePoint(...Array.from({ length: 256 }, (_, i) => i)),
];

describe('loadTokenizer', () => {
  it('has exactly the vocabulary asked for, the end-of-text token last', () => {
    expect(tokenizer.vocabSize).toBe(2048);
    expect(tokenizer.endOfText).toBe(2047);
    expect(tokenizer.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('gives every text back, of every domain and with odd characters', () => {
    for (const text of [...documents.map((document) => document.text), ...ODD])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it('does not take end-of-text from a text, and leaves it out when decoding', () => {
    expect([...tokenizer.encode('<|endoftext|>')]).not.toContain(tokenizer.endOfText);
    const ids = [...tokenizer.encode('before'), tokenizer.endOfText, ...tokenizer.encode('after')];
    expect(tokenizer.decode(ids)).toBe('beforeafter');
  });

  it('writes a file that the tokenizers package reads and encodes alike', async () => {
    const oracle = huggingFace.Tokenizer.fromFile(file);
    const texts = [...documents.filter((_, i) => i % 5 === 0).map(({ text }) => text), ...ODD];
    for (const text of texts.filter((text) => !text.includes('<|endoftext|>')))
      expect([...tokenizer.encode(text)]).toEqual((await oracle.encode(text)).getIds());
  });

  it('decodes a cut character as a replacement character', () => {
    const [first] = tokenizer.encode('\u{20000}');
    expect(tokenizer.decode([first!])).toBe('\ufffd');
  });

  it('gives the bytes of a text token by token', () => {
    for (const text of ODD) {
      const parts = [...tokenizer.encode(text)].map((id) => tokenizer.bytes([id]));
      expect(Buffer.concat(parts).equals(Buffer.from(text))).toBe(true);
    }
    expect(tokenizer.bytes([tokenizer.endOfText])).toHaveLength(0);
    expect(Buffer.from(tokenizer.bytes([tokenizer.endOfText], true)).toString()).toBe('<|endoftext|>');
  });

  it('refuses what is not a tokenizer', () => {
    expect(() => loadTokenizer(path.join(folder, 'none.json'))).toThrow(/cannot be read/);
    expect(() => loadTokenizer('/dev/zero')).toThrow(/is no regular file but a device/);
    const other = path.join(folder, 'other.json');
    for (const text of ['', '{"model":7}', '[]']) {
      writeFileSync(other, text);
      expect(() => loadTokenizer(other)).toThrow(/not a HuggingFace tokenizer.json/);
    }
  });
});
