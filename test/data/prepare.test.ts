import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CORPUS_DIR, extractDomain } from '../../src/data/built-in/corpora.js';
import {
  type Dataset,
  type DatasetIndex,
  openDataset,
  type TokenSplit,
  tokenFile,
} from '../../src/data/dataset.js';
import { encodeTokens } from '../../src/data/prepare/domain-writer.js';
import { planPreparation } from '../../src/data/prepare/preparation.js';
import { type PrepareOptions, prepareDataset } from '../../src/data/prepare/prepare.js';
import { SPLITS } from '../../src/data/split.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';

let dataDir: string;
let options: PrepareOptions;
let dataset: Dataset;
const lines: string[] = [];
beforeAll(async () => {
  dataDir = mkdtempSync(path.join(tmpdir(), 'locmoe-data-'));
  options = {
    dataDir,
    corpusDir: CORPUS_DIR,
    corpus: 'standard',
    domains: ['zh', 'code'],
    sources: {},
    maxBytesPerDomain: 100_000,
    validationShare: 0.1,
    vocabSize: 600,
    tokenizer: 'train',
    endOfText: null,
    log: (line) => lines.push(line),
  };
  dataset = await prepareDataset(options);
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

function idsOf({ ids }: TokenSplit): number[] {
  return [...ids.slice(0, ids.length)];
}

/** Runs `check` on a file of the dataset that was changed by `damage`, then puts it back. */
async function withDamage(
  file: string,
  damage: (bytes: Buffer) => Buffer,
  check: () => void | Promise<void>,
): Promise<void> {
  const target = path.join(dataset.dir, file);
  const bytes = readFileSync(target);
  writeFileSync(target, damage(Buffer.from(bytes)));
  try {
    await check();
  } finally {
    writeFileSync(target, bytes);
  }
}

describe('prepareDataset', () => {
  it('stores the tokens of its documents, each with an end', async () => {
    const tokenizer = loadTokenizer(dataset.tokenizerFile);
    expect(dataset.vocabSize).toBe(600);
    expect(dataset.endOfText).toBe(599);
    expect(dataset.tokenizerSha256).toBe(tokenizer.sha256);
    expect(dataset.domains.map(({ name }) => name)).toEqual(['zh', 'code']);
    for (const domain of dataset.domains) {
      const extracted = await extractDomain(domain.name, { ...options, maxBytes: 100_000 });
      for (const split of SPLITS) {
        const documents = extracted[split];
        const { bytes } = domain[split];
        const expected = documents.flatMap(({ text }) => [...tokenizer.encode(text), dataset.endOfText]);
        expect(idsOf(domain[split])).toEqual(expected);
        expect(bytes).toBe(documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0));
        expect(domain[split].documents).toBe(documents.length);
      }
    }
  });

  it('states the unigram entropy of the validation tokens', () => {
    const entropy = (tokens: readonly number[]): number => {
      const counts = new Map<number, number>();
      for (const id of tokens) counts.set(id, (counts.get(id) ?? 0) + 1);
      // Mean of -ln p over the tokens: another way to the same number.
      return tokens.reduce((sum, id) => sum - Math.log(counts.get(id)! / tokens.length), 0) / tokens.length;
    };
    for (const { validation, validationEntropy } of dataset.domains)
      expect(validationEntropy).toBeCloseTo(entropy(idsOf(validation)), 9);
    const all = dataset.domains.flatMap(({ validation }) => idsOf(validation));
    expect(dataset.validationEntropy).toBeCloseTo(entropy(all), 9);
  });

  it('opens what it prepared before, and nothing else for other options', async () => {
    const quiet: string[] = [];
    const again = await prepareDataset({ ...options, log: (line) => quiet.push(line) });
    expect(again.dir).toBe(dataset.dir);
    expect(again.domains.map(({ train }) => idsOf(train))).toEqual(
      dataset.domains.map(({ train }) => idsOf(train)),
    );
    expect(quiet).toEqual([]);
    expect(lines.join('\n')).toMatch(/preparing zh, code.*\n.*tokens for training: zh \d+k, code \d+k/);
    expect(planPreparation({ ...options, vocabSize: 700 }).dir).not.toBe(dataset.dir);
  });

  it('gives the same files again in another place', async () => {
    const again = await prepareDataset({ ...options, dataDir: path.join(dataDir, 'again') });
    for (const file of readdirSync(dataset.dir))
      expect(
        readFileSync(path.join(again.dir, file)).equals(readFileSync(path.join(dataset.dir, file))),
      ).toBe(true);
  });

  it('leaves nothing behind when it fails, and removes what killed processes of this machine left', async () => {
    const failing = { ...options, dataDir: path.join(dataDir, 'failing'), vocabSize: 60_000 };
    const ours = planPreparation(failing).work;
    const dead = ours.replace(`-${process.pid}-`, '-4194305-');
    const elsewhere = dead.replace(/\.tmp-[0-9a-f]+-/, '.tmp-0123456789abcdef-');
    const abandoned = path.join(failing.dataDir, '0123456789abcdef.tmp-4194305-1');
    for (const each of [ours, dead, elsewhere, abandoned]) mkdirSync(each, { recursive: true });
    utimesSync(abandoned, new Date(0), new Date(0));
    await expect(prepareDataset(failing)).rejects.toThrow(/vocabSize=\d+ or less/);
    expect(readdirSync(failing.dataDir).sort()).toEqual(
      [ours, elsewhere].map((each) => path.basename(each)).sort(),
    );
    await expect(prepareDataset({ ...options, domains: ['zh', 'zh'] })).rejects.toThrow(/listed twice/);
  });
});

describe('openDataset', () => {
  it('reads 32-bit ids when the vocabulary needs them', () => {
    const wide = path.join(dataDir, 'wide');
    cpSync(dataset.dir, wide, { recursive: true });
    const index = JSON.parse(readFileSync(path.join(wide, 'index.json'), 'utf8')) as DatasetIndex;
    const highest = 2 ** 16;
    for (const { name } of index.domains)
      for (const split of SPLITS) {
        const bytes = encodeTokens([1, highest, 2], highest + 1);
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        writeFileSync(path.join(wide, tokenFile(name, split)), bytes);
        index.files[tokenFile(name, split)] = { bytes: 12, sha256 };
      }
    const domains = index.domains.map((domain) => ({
      ...domain,
      train: { ...domain.train, tokens: 3 },
      validation: { ...domain.validation, tokens: 3 },
    }));
    writeFileSync(
      path.join(wide, 'index.json'),
      JSON.stringify({ ...index, domains, vocabSize: highest + 1 }),
    );
    for (const domain of openDataset(wide).domains) expect(idsOf(domain.train)).toEqual([1, highest, 2]);
    expect(encodeTokens([1, highest - 1], highest)).toEqual(Uint8Array.from([1, 0, 255, 255]));
  });

  it('holds files open until it is closed, and none if one is damaged', () => {
    const numOpen = (): number => {
      const open = readdirSync('/proc/self/fd').map((fd) => path.join('/proc/self/fd', fd));
      return open.filter((fd) => existsSync(fd) && readlinkSync(fd).startsWith(copy)).length;
    };
    const copy = path.join(dataDir, 'copy');
    cpSync(dataset.dir, copy, { recursive: true });
    const opened = openDataset(copy);
    expect(numOpen()).toBe(4);
    opened.close();
    opened.close();
    expect(numOpen()).toBe(0);
    const index = JSON.parse(readFileSync(path.join(copy, 'index.json'), 'utf8')) as DatasetIndex;
    index.domains[1].validation.tokens++;
    writeFileSync(path.join(copy, 'index.json'), JSON.stringify(index));
    expect(() => openDataset(copy)).toThrow(/code\.validation\.tokens has \d+ tokens, not \d+/);
    expect(numOpen()).toBe(0);
  });

  it('names the file that is missing, cut, changed or not an index', async () => {
    const open = (): unknown => openDataset(dataset.dir);
    const advice = /is damaged: .*remove the folder and it will be prepared again/;
    const flipped = (bytes: Buffer): Buffer => {
      bytes[100]! ^= 1;
      return bytes;
    };
    await withDamage('code.train.tokens', flipped, async () => {
      expect(open).toThrow(/code\.train\.tokens does not have the contents/);
      expect(open).toThrow(advice);
      await expect(prepareDataset(options)).rejects.toThrow(advice);
    });
    await withDamage(
      'zh.validation.tokens',
      (bytes) => bytes.subarray(0, -2),
      () => {
        expect(open).toThrow(/zh\.validation\.tokens has \d+ bytes, not \d+/);
      },
    );
    await withDamage('tokenizer.json', flipped, () => {
      expect(open).toThrow(/tokenizer\.json does not have/);
    });
    await withDamage(
      'index.json',
      (bytes) => bytes.subarray(0, 50),
      () => {
        expect(open).toThrow(/index\.json is not a dataset index/);
      },
    );
    expect(open).not.toThrow();
    expect(() => openDataset(dataDir)).toThrow(/not a prepared dataset.*; remove the folder/);
    expect(() => openDataset(path.join(dataDir, 'nowhere'))).toThrow(/it has no index\.json$/);
  });
});
