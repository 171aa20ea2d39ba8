import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../packages/logs/test/small-disk.js';
import { CORPUS_DIR } from '../../src/data/built-in/corpora.js';
import { type Dataset, TOKENIZER_FILE } from '../../src/data/dataset.js';
import { PART_BYTES } from '../../src/data/prepare/parts.js';
import { planPreparation } from '../../src/data/prepare/preparation.js';
import { makeDataset, type PrepareOptions, prepareDataset } from '../../src/data/prepare/prepare.js';
import { selectDocuments } from '../../src/data/prepare/select-documents.js';
import { type TextSource, textSourceSchema } from '../../src/data/read/text-source.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';

let folder: string;
/** A tokenizer trained once, as most tests need none of their own. */
let tokenizerFile: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-own-'));
  write('first.txt', sentences(0, 50).join('\n'));
  const { dir } = await prepare({ first: linesOf('first.txt') }, { tokenizer: 'train' });
  tokenizerFile = path.join(dir, TOKENIZER_FILE);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, contents: string | Uint8Array): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, contents);
  return file;
}

const source = (written: object): TextSource => textSourceSchema.parse({ folder, ...written });
const linesOf = (...files: string[]): TextSource => source({ files, separator: '\n' });
const sentence = (i: number): string =>
  `Number ${i} is ${'very '.repeat(i % 5)}good, and ${i * 7919} better.`;
const sentences = (first: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => sentence(first + i));

type Sources = Record<string, TextSource>;

function optionsOf(sources: Sources, more: Partial<PrepareOptions> = {}): PrepareOptions {
  return {
    dataDir: path.join(folder, 'data'),
    corpusDir: CORPUS_DIR,
    corpus: 'standard',
    domains: Object.keys(sources),
    sources,
    maxBytesPerDomain: null,
    validationShare: 0.3,
    vocabSize: 270,
    tokenizer: tokenizerFile,
    endOfText: null,
    log: () => undefined,
    ...more,
  };
}

const prepare = (sources: Sources, more: Partial<PrepareOptions> = {}): Promise<Dataset> =>
  prepareDataset(optionsOf(sources, more));

/** Prepares in a process of its own, which prints the key of the dataset. */
function prepareAside(sources: Sources, more: Partial<PrepareOptions>): ChildProcess {
  const module = fileURLToPath(new URL('../../src/data/prepare/prepare.ts', import.meta.url));
  const script = `import { prepareDataset } from ${JSON.stringify(module)};
    const options = { ...${JSON.stringify(optionsOf(sources, more))}, log() {} };
    console.log((await prepareDataset(options)).key);`;
  const runsSources = ['--conditions=source', '--import', 'tsx', '--input-type=module'];
  return spawn(process.execPath, [...runsSources, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** The documents of a split, or of both. */
function textsOf(dataset: Dataset, id = 0, splits: ('train' | 'validation')[] = ['train', 'validation']) {
  const tokenizer = loadTokenizer(dataset.tokenizerFile);
  return splits.flatMap((split) => {
    const { ids, documents } = dataset.domains[id]![split];
    const tokens = ids.slice(0, ids.length);
    const texts: string[] = [];
    for (let begin = 0; begin < tokens.length; ) {
      const end = tokens.indexOf(dataset.endOfText, begin);
      texts.push(tokenizer.decode(tokens.subarray(begin, end)));
      begin = end + 1;
    }
    expect(texts).toHaveLength(documents);
    return texts;
  });
}

const indexOf = ({ dir }: Dataset) => JSON.parse(readFileSync(path.join(dir, 'index.json'), 'utf8'));

it('prepares several domains, each file once, a document a file, without the empty ones', async () => {
  for (let i = 0; i < 30; i++) write(`notes/${i % 3}/[${i}].md`, sentence(300 + i));
  write('notes/empty.md', '');
  write('notes/white.md', ' \n\n ');
  write('linked/1.md', sentence(401));
  const invalid = write('linked/2.md', Buffer.concat([Buffer.from(sentence(402)), Buffer.of(0xff)]));
  symlinkSync('.', path.join(folder, 'linked/again'));
  const lines: string[] = [];
  const dataset = await prepare(
    {
      notes: source({ files: ['notes/**/*.md', 'notes/0/[[]0].md', 'notes/0/[0].md'] }),
      linked: source({ files: 'linked/**/*.md' }),
      other: source({ folder: path.join(folder, 'notes'), files: '../first.txt', separator: '\n' }),
    },
    { log: (line) => lines.push(line) },
  );
  expect(textsOf(dataset).sort()).toEqual(sentences(300, 30).sort());
  expect(textsOf(dataset, 1).sort()).toEqual(sentences(401, 2).sort());
  expect(textsOf(dataset, 2).sort()).toEqual(sentences(0, 50).sort());
  const { domains } = indexOf(dataset);
  expect(domains[0]).toMatchObject({ name: 'notes', files: 31, duplicates: 0 });
  expect(domains[1]).toMatchObject({ name: 'linked', files: 2, duplicates: 0 });
  expect(lines.join('\n')).toContain(`${invalid} has bytes that are not UTF-8; they are left out`);
});

it.each([0.01, 0.99])('gives each split one of two or three documents at a share of %d', async (share) => {
  const names = Array.from({ length: 6 }, (_, i) => `few-${i}`);
  const own = names.map((name, i) => {
    write(`${name}.txt`, sentences(100 * i, 2 + (i % 2)).join('\n'));
    return [name, linesOf(`${name}.txt`)] as const;
  });
  const { domains } = await prepare(Object.fromEntries(own), { validationShare: share });
  for (const [i, { train, validation }] of domains.entries()) {
    const small = share < 0.5 ? validation : train;
    expect([train.documents + validation.documents, small.documents]).toEqual([2 + (i % 2), 1]);
  }
});

it('refuses text that is too poor, and tells of its near-duplicates', async () => {
  write('empty.txt', '');
  write('white.txt', ' \n');
  await expect(prepare({ d: source({ files: ['empty.txt', 'white.txt'] }) })).rejects.toThrow(
    /^domain d: there is no text in its 1 files[^\n]*$/,
  );
  const notice = (i: number) => `${'All rights are reserved by the owners of this text. '.repeat(9)}${i}`;
  write('same.txt', Array.from({ length: 100 }, (_, i) => notice(i)).join('\n'));
  await expect(prepare({ d: linesOf('same.txt') }, { tokenizer: 'train', vocabSize: 512 })).rejects.toThrow(
    /vocabulary of \d+ only, not 512; .*; \d\d of 100 documents were left out as near-duplicates of others/,
  );
});

it.each([
  ['vanished before it was read; start again', (file: string) => rmSync(file)],
  ['has become shorter; start again', (file: string) => truncateSync(file, 3)],
])('refuses a file that %s, and leaves no unfinished dataset', async (message, change) => {
  const file = write('fleeting.txt', sentence(1));
  const options = optionsOf({ d: source({ files: 'fleeting.txt' }) });
  const preparation = planPreparation(options);
  change(file);
  await expect(makeDataset(preparation, options)).rejects.toThrow(`fleeting.txt ${message}`);
  expect(existsSync(preparation.work)).toBe(false);
});

describe('text of several parts', () => {
  const MAX_BYTES = 3_000_000;
  /** Every tenth is a near copy of an earlier one. */
  const document = (i: number): string => (i % 10 === 9 ? `${long(i - 5)} Again!` : long(i));
  const long = (i: number): string =>
    sentences(i * 4, 4)
      .map((text, k) => `${text} ${(i * 7919 + k).toString(36)} x${i}.`)
      .join(' ');
  const documents = Array.from({ length: 20_000 }, (_, i) => document(i));
  const [first, second] = [documents.slice(0, 18_500), documents.slice(18_500)];
  const large = () => ({ d: source({ files: 'large/*.jsonl' }) });
  const shardsDir = () => path.join(folder, 'large/data/shards');
  const named = (end: string) => readdirSync(shardsDir()).filter((name) => name.endsWith(end));
  /** Inode numbers of the shards; a rewritten file has another inode. */
  const shards = () =>
    new Map(named('.shard').map((name) => [name, statSync(path.join(shardsDir(), name)).ino]));
  const options = () => ({ dataDir: path.join(folder, 'large/data'), maxBytesPerDomain: MAX_BYTES });
  const progress: (readonly [done: number, total: number])[] = [];
  let dataset: Dataset;

  beforeAll(async () => {
    const jsonLines = (texts: readonly string[]) => texts.map((text) => JSON.stringify({ text })).join('\n');
    write('large/a.jsonl', jsonLines(first));
    expect(statSync(path.join(folder, 'large/a.jsonl')).size).toBeGreaterThan(PART_BYTES);
    write('large/c.jsonl', jsonLines(second));
    const child = prepareAside(large(), options());
    // The process is killed once it has written a shard.
    while (!existsSync(shardsDir()) || shards().size === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const before = shards();
    dataset = await prepare(large(), {
      ...options(),
      progress: ({ doneBytes, totalBytes }) => progress.push([doneBytes, totalBytes]),
    });
    for (const [name, inode] of before) expect(shards().get(name)).toBe(inode);
    expect(readdirSync(options().dataDir).filter((name) => name.includes('.tmp-'))).toEqual([]);
  });

  it('is selected as documents in memory are, after an interruption too', () => {
    const expected = selectDocuments(
      documents.map((text) => ({ text, source: '' })),
      { maxBytes: MAX_BYTES, validationShare: 0.3 },
    );
    for (const split of ['train', 'validation'] as const)
      expect(textsOf(dataset, 0, [split]).sort()).toEqual(expected[split].map(({ text }) => text).sort());
    expect(indexOf(dataset).domains[0].duplicates).toBe(expected.duplicates);
    expect(expected.duplicates).toBeGreaterThan(documents.length / 11);
  });

  it('is followed in its progress up to all of it', () => {
    const done = progress.map(([doneBytes]) => doneBytes);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    const sizes = ['a', 'c'].map((name) => statSync(path.join(folder, `large/${name}.jsonl`)).size);
    expect(progress.at(-1)).toEqual([sizes[0]! + sizes[1]!, sizes[0]! + sizes[1]!]);
  });

  it('is not prepared again where a file was touched or copied, or another was added', async () => {
    const [before, numParts] = [shards(), named('.part').length];
    utimesSync(path.join(folder, 'large/a.jsonl'), new Date(), new Date(0));
    copyFileSync(path.join(folder, 'large/a.jsonl'), path.join(folder, 'large/a-copy.jsonl'));
    write('large/b.jsonl', JSON.stringify({ text: 'One document more than before.' }));
    const grown = await prepare(large(), { ...options(), maxBytesPerDomain: null });
    expect(grown.dir).not.toBe(dataset.dir);
    const after = shards();
    for (const [name, inode] of before) expect(after.get(name)).toBe(inode);
    expect([after.size, named('.part').length]).toEqual([before.size + 1, numParts + 1]);
    expect(textsOf(grown)).toContain('One document more than before.');
    expect(indexOf(grown).domains[0].duplicates).toBeGreaterThan(first.length);
  });
});

it('lets several processes prepare the same text at once', async () => {
  write('shared.txt', sentences(0, 2000).join('\n'));
  const dataDir = path.join(folder, 'shared');
  const keys = [0, 1, 2].map(async () => {
    const child = prepareAside({ d: linesOf('shared.txt') }, { dataDir });
    let said = '';
    child.stdout!.on('data', (chunk) => {
      said += chunk;
    });
    await once(child, 'close');
    return said.trim();
  });
  const [key] = await Promise.all(keys);
  expect(key).toMatch(/^[0-9a-f]+$/);
  expect(await Promise.all(keys)).toEqual([key, key, key]);
  expect(readdirSync(dataDir)).toHaveLength(2);
  expect(readdirSync(path.join(dataDir, 'shards')).map(path.extname).sort()).toEqual([
    '.part',
    '.seen',
    '.shard',
  ]);
});

it('names a full disk by its option, and leaves nothing unfinished there', async (context) => {
  const disk = smallDisk(1 << 20);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  write('full.txt', Array.from({ length: 12_000 }, (_, i) => `${sentence(i)} ${sentence(7 * i)}`).join('\n'));
  const dataDir = path.join(disk, 'data');
  await expect(prepare({ full: linesOf('full.txt') }, { dataDir })).rejects.toThrow(
    /^--data-dir \S+data: ENOSPC: no space left on device/,
  );
  expect(readdirSync(dataDir)).toEqual(['shards']);
  expect(readdirSync(path.join(dataDir, 'shards')).filter((name) => name.includes('.tmp'))).toEqual([]);
});

it('makes again what a power failure has cut off', async () => {
  const dataDir = path.join(folder, 'power');
  write('power.txt', sentences(900, 20).join('\n'));
  const own = { d: linesOf('power.txt') };
  const { dir } = await prepare(own, { dataDir });
  const shards = path.join(dataDir, 'shards');
  const contents = () => readdirSync(shards).map((name) => [name, readFileSync(path.join(shards, name))]);
  const whole = contents();
  expect(whole).toHaveLength(3);
  for (const [end, length] of [
    [/\.seen$/, 10],
    [/\.part$/, 10],
    // The head has 16 bytes.
    [/\.shard$/, 10],
    [/\.shard$/, 40],
    [/./, 0],
  ] as const) {
    for (const name of readdirSync(shards).filter((each) => end.test(each)))
      truncateSync(path.join(shards, name), length);
    rmSync(dir, { recursive: true });
    await prepare(own, { dataDir });
    expect(contents()).toEqual(whole);
  }
});

it('keeps datasets and shards for their owner alone, also those of an earlier version', async () => {
  const before = process.umask(0);
  try {
    write('secret.txt', sentences(0, 40).join('\n'));
    const sources = { secret: linesOf('secret.txt') };
    const { dir } = await prepare(sources);
    const modeOf = (place: string) => (statSync(place).mode & 0o777).toString(8);
    expect([modeOf(dir), modeOf(path.join(dir, '../shards'))]).toEqual(['700', '700']);
    chmodSync(dir, 0o755);
    await prepare(sources);
    expect(modeOf(dir)).toBe('700');
  } finally {
    process.umask(before);
  }
});
