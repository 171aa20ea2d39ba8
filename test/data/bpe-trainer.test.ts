import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CORPUS_DIR, extractDomain } from '../../src/data/built-in/corpora.js';
import { DOMAINS } from '../../src/data/built-in/sources.js';
import { trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';

// The package's own types declare classes that TypeScript rejects; only what the oracle needs is typed here.
interface HuggingFace {
  readonly BPE: { empty(): unknown };
  readonly Tokenizer: new (
    model: unknown,
  ) => { setPreTokenizer(p: unknown): void; train(files: string[]): void; save(file: string): void };
  readonly byteLevelPreTokenizer: (addPrefixSpace: boolean, useRegex: boolean) => unknown;
}
const huggingFace = createRequire(import.meta.url)('tokenizers') as HuggingFace;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-bpe-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Merges of HuggingFace's trainer, which reads line by line, keeps the line end, and always aims for 30,000 tokens. */
function huggingFaceMerges(text: string): string[] {
  const [input, output] = [path.join(folder, 'text.txt'), path.join(folder, 'tokenizer.json')];
  writeFileSync(input, text);
  const tokenizer = new huggingFace.Tokenizer(huggingFace.BPE.empty());
  tokenizer.setPreTokenizer(huggingFace.byteLevelPreTokenizer(false, true));
  tokenizer.train([input]);
  tokenizer.save(output);
  const { model } = JSON.parse(readFileSync(output, 'utf8')) as { model: { merges: [string, string][] } };
  return model.merges.map((pair) => pair.join(' '));
}

function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** The textbook loop: count all pairs anew for every merge. */
function slowMerges(words: readonly string[], numMerges: number): string[] {
  const ids = [...new Set(words.join(''))].sort();
  let split = words.map((word) => [...word]);
  const merges: string[] = [];
  while (merges.length < numMerges) {
    const counts = new Map<string, number>();
    for (const word of split)
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]} ${word[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    const rank = (pair: string): number[] => pair.split(' ').map((token) => ids.indexOf(token));
    const [best] = [...counts].sort(([a, m], [b, n]) => {
      const [x, y] = [rank(a), rank(b)];
      return n - m || x[0]! - y[0]! || x[1]! - y[1]!;
    })[0]!;
    const [left, right] = best.split(' ');
    merges.push(best);
    if (!ids.includes(left! + right!)) ids.push(left! + right!);
    split = split.map((word) => {
      const merged: string[] = [];
      for (let i = 0; i < word.length; i++) {
        const fits = word[i] === left && word[i + 1] === right;
        merged.push(fits ? left! + right! : word[i]!);
        if (fits) i++;
      }
      return merged;
    });
  }
  return merges;
}

describe('trainBpe', () => {
  it('gives the merges of the tokenizers package on text of every domain', async () => {
    const extracted = await Promise.all(
      DOMAINS.map((domain) =>
        extractDomain(domain, {
          corpusDir: CORPUS_DIR,
          corpus: 'standard' as const,
          maxBytes: 40_000,
          validationShare: 0.01,
        }),
      ),
    );
    const text = extracted.flatMap(({ train }) => train.map((document) => document.text)).join('\n');
    const oracle = huggingFaceMerges(text);
    const { merges, tokens } = trainBpe(linesOf(text), 2000);
    expect(merges.map((pair) => pair.join(' '))).toEqual(oracle.slice(0, merges.length));
    expect(tokens).toHaveLength(1999);
    expect(new Set(tokens).size).toBe(1999);
  });

  it('gives the merges of the textbook loop, also where a pair overlaps itself', () => {
    // Words over two letters, so that runs and pairs that spell the same token in two ways are common.
    let state = 7;
    const draw = (n: number): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % n;
    };
    const words = Array.from(
      { length: 80 },
      () => 'a'.repeat(1 + draw(9)) + 'ba'.repeat(draw(5)) + 'b'.repeat(draw(7)),
    );
    const { merges } = trainBpe(words, 256 + 40 + 1);
    expect(merges.length).toBeGreaterThanOrEqual(40);
    expect(merges.map((pair) => pair.join(' '))).toEqual(slowMerges(words, merges.length));
  });

  it('refuses a vocabulary that the text cannot fill, and one without room for the bytes', () => {
    expect(() => trainBpe(['a small text, a small text'], 1000)).toThrow(
      /vocabulary of 2\d\d only, not 1000/,
    );
    expect(() => trainBpe(['text'], 256)).toThrow(/256 is below 257/);
  });
});
