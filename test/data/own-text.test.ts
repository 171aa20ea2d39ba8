import { spawn } from 'node:child_process';
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
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../packages/logs/test/small-disk.js';
import { CORPUS_DIR } from '../../src/data/built-in/corpora.js';
import { type Dataset, TOKENIZER_FILE } from '../../src/data/dataset.js';
import { PART_BYTES } from '../../src/data/prepare/parts.js';
import { planPreparation } from '../../src/data/prepare/preparation.js';
import { makeDataset, type PrepareOptions, prepareDataset } from '../../src/data/prepare/prepare.js';
import { selectDocuments } from '../../src/data/prepare/select-documents.js';
import { bytesOf } from '../../src/data/read/bytes.js';
import { type TextSource, textBytes, textSourceSchema } from '../../src/data/read/text-source.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';
import { collectNow } from '../../src/garbage-collection.js';

/** Arguments of Node before a script of TypeScript. */
const SCRIPT = ['--conditions=source', '--import', 'tsx', '--input-type=module', '-e'];
/** The user id of nobody. */
const NOBODY = 65_534;

let folder: string;
/** Trained once, so that most tests need not. */
let tokenizerFile: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-own-'));
  write('first.txt', Array.from({ length: 50 }, (_, i) => sentence(i)).join('\n'));
  const { dir } = await prepare({ first: source({ files: 'first.txt', separator: '\n' }) }, 'train');
  tokenizerFile = path.join(folder, TOKENIZER_FILE);
  // Where other users can read it too.
  copyFileSync(path.join(dir, TOKENIZER_FILE), tokenizerFile);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, contents: string | Uint8Array): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, contents);
  return file;
}

const source = (written: object): TextSource => textSourceSchema.parse({ folder, ...written });
const sentence = (i: number): string =>
  `Number ${i} is ${'very '.repeat(i % 5)}good, and ${i * 7919} better.`;
const sentences = (first: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => sentence(first + i));

const lines: string[] = [];
function prepare(
  sources: Record<string, TextSource>,
  tokenizer = tokenizerFile,
  more: Partial<PrepareOptions> = {},
): Promise<Dataset> {
  return prepareDataset(optionsOf(sources, tokenizer, more));
}

function optionsOf(
  sources: Record<string, TextSource>,
  tokenizer = tokenizerFile,
  more: Partial<PrepareOptions> = {},
): PrepareOptions {
  return {
    dataDir: path.join(folder, 'data'),
    corpusDir: CORPUS_DIR,
    corpus: 'standard',
    domains: Object.keys(sources),
    sources,
    maxBytesPerDomain: null,
    validationShare: 0.3,
    vocabSize: 270,
    tokenizer,
    endOfText: null,
    log: (line) => lines.push(line),
    ...more,
  };
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

// Two frames, as `cat a.zst b.zst` gives: 40 lines {"text": "Line 0 of a compressed file, 0."}, made by zstd 1.5.
const ZSTD =
  'KLUv/QRoVQUA4skcF5DNAYMBHAVqsJ2vI21KSkoKGbczhXEBQMUE7D1uuZz7mr3qe97Z/P7I3X+4vi0P9fO4ZTv0xztET/SWrNqvusy+yL7N' +
  'jRu3N+o6u6a+PmM2bI5AxYRbAbIoyTqQKEKgh3GMVazEWbeQRiHYGpg0IRKjAiaoEQCOANnrfwbAM64BEfwOgRAUql0Dml+bXxvf64TgT2Ut' +
  'sxJ0WqjFisEzKpBe43xAqwJxYEpuKLUv/QRoNQUAcsodF5DNAYMBHAVqsJ2vgyTJiogQmLczhXEBQMUEXPfP/Dt1vdPv9WNv3LCb2+Zvp2JT' +
  'v1XO9+XFa249RW7/qY3piq7Y+86XjfubG9/9tmK6OuZ2/mdrCFRMOFdnXAGyKMk6kChCoIdxjFWsxFmXC2kUgq2BSRMiMSomqBHwjYDR7f8G' +
  '4DcDEfwzBA1fiOgDICvis8KBQ9cUwyxUxG8GabFcUoGkBlffeQo=';

describe('formats', () => {
  const jsonl = (texts: string[], field = 'text') =>
    texts.map((text) => JSON.stringify({ id: 1, [field]: text })).join('\n');
  const csv = (texts: string[], delimiter = ',') =>
    ['id,body', ...texts.map((text, i) => `${i},"${text.replaceAll('"', '""')}\nand ""more"""`)]
      .join('\r\n')
      .replaceAll(/^(id|\d+),/gm, `$1${delimiter}`);
  const parquet = (texts: (string | null)[], codec: 'SNAPPY' | 'UNCOMPRESSED') =>
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'id', data: texts.map((_, i) => i), type: 'INT32' },
          { name: 'text', data: texts, type: 'STRING', nullable: true },
        ],
        rowGroupSize: 7,
        codec,
      }),
    );
  const more = (texts: string[]) => texts.map((text) => `${text}\nand "more"`);

  it.each([
    ['text', 'a.md', () => sentences(0, 1)[0]!, {}, sentences(0, 1)],
    [
      'text between marks',
      'b.txt',
      () => sentences(20, 20).join('\n==\n'),
      { separator: '\n==\n' },
      sentences(20, 20),
    ],
    [
      'text.gz',
      'c.txt.gz',
      () => gzipSync(sentences(40, 20).join('\n')),
      { separator: '\n' },
      sentences(40, 20),
    ],
    [
      'two gzip members',
      'd.txt.gz',
      () => Buffer.concat([gzipSync(`${sentence(60)}\n`), gzipSync(sentence(61))]),
      { separator: '\n' },
      sentences(60, 2),
    ],
    [
      'jsonl',
      'e.jsonl',
      () => `${jsonl(sentences(80, 9), 'answer')}\n\n`,
      { field: 'answer' },
      sentences(80, 9),
    ],
    [
      'jsonl with null',
      'n.jsonl',
      () => `${jsonl(sentences(190, 3))}\n{"text":null}\n${jsonl(sentences(193, 3))}`,
      {},
      sentences(190, 6),
    ],
    [
      'jsonl with a byte order mark',
      'f.ndjson',
      () => `\ufeff${jsonl(sentences(90, 9))}`,
      {},
      sentences(90, 9),
    ],
    ['jsonl.gz', 'g.jsonl.gz', () => gzipSync(jsonl(sentences(100, 9))), {}, sentences(100, 9)],
    ['csv', 'h.csv', () => `\ufeff${csv(sentences(120, 9))}`, { field: 'body' }, more(sentences(120, 9))],
    [
      'tsv.gz',
      'i.tsv.gz',
      () => gzipSync(csv(sentences(140, 9), '\t')),
      { field: 'body' },
      more(sentences(140, 9)),
    ],
    [
      'parquet',
      'j.parquet',
      () => parquet([...sentences(160, 9), null], 'UNCOMPRESSED'),
      {},
      sentences(160, 9),
    ],
    ['parquet with snappy', 'k.parquet', () => parquet(sentences(170, 9), 'SNAPPY'), {}, sentences(170, 9)],
    ['jsonl by its format', 'l.data', () => jsonl(sentences(180, 9)), { format: 'jsonl' }, sentences(180, 9)],
    [
      'zstd, two frames',
      'm.jsonl.zst',
      () => Buffer.from(ZSTD, 'base64'),
      {},
      Array.from({ length: 40 }, (_, i) => `Line ${i} of a compressed file, ${i * 7919}.`),
    ],
  ])('%s', async (_, name, contents, written, expected) => {
    write(name, contents());
    const dataset = await prepare({ d: source({ files: name, ...written }) });
    expect(textsOf(dataset).sort()).toEqual(expected.toSorted());
  });

  it('of several files and domains, a document a file, each file once, without the empty ones', async () => {
    for (let i = 0; i < 30; i++) write(`notes/${i % 3}/[${i}].md`, sentence(300 + i));
    write('notes/empty.md', '');
    write('notes/white.md', ' \n\n ');
    const linked = path.join(folder, 'linked');
    rmSync(linked, { recursive: true, force: true });
    for (const i of [1, 2]) write(`linked/${i}.md`, sentence(400 + i));
    symlinkSync('.', path.join(linked, 'again'));
    const dataset = await prepare({
      notes: source({ files: ['notes/**/*.md', 'notes/0/[[]0].md', 'notes/0/[0].md'] }),
      linked: source({ files: 'linked/**/*.md' }),
      other: source({ folder: path.join(folder, 'notes'), files: '../first.txt', separator: '\n' }),
    });
    expect(textsOf(dataset).sort()).toEqual(sentences(300, 30).sort());
    expect(textsOf(dataset, 1).sort()).toEqual(sentences(401, 2).sort());
    expect(textsOf(dataset, 2).sort()).toEqual(sentences(0, 50).sort());
    const { domains } = JSON.parse(readFileSync(path.join(dataset.dir, 'index.json'), 'utf8'));
    expect(domains[0]).toMatchObject({ name: 'notes', files: 31, duplicates: 0 });
    expect(domains[1]).toMatchObject({ name: 'linked', files: 2, duplicates: 0 });
  });
});

it('the size of a text counts compressed files threefold, as the source or their name says', () => {
  const sizeOf = (file: string, format?: 'parquet' | 'jsonl') => textBytes({ file, bytes: 10 }, { format });
  expect([sizeOf('a.txt'), sizeOf('a.csv'), sizeOf('a.parquet', 'jsonl')]).toEqual([10, 10, 10]);
  expect([sizeOf('a.gz'), sizeOf('a.csv.zst'), sizeOf('a.parquet'), sizeOf('a.data', 'parquet')]).toEqual(
    Array(4).fill(30),
  );
});

it('gives each split a document where there are few, in every text of two or three', async () => {
  for (let i = 0; i < 12; i++) {
    const own = source({
      files: write(`few/${i}.txt`, sentences(100 * i, 2 + (i % 2)).join('\n')),
      separator: '\n',
    });
    const [few] = (await prepare({ few: own }, tokenizerFile, { validationShare: i < 6 ? 0.01 : 0.99 }))
      .domains;
    const { train, validation } = few!;
    const small = i < 6 ? validation : train;
    expect([train.documents + validation.documents, small.documents]).toEqual([2 + (i % 2), 1]);
  }
});

it('text too poor for its vocabulary is told of its near-duplicates', async () => {
  const notice = (i: number) => `${'All rights are reserved by the owners of this text. '.repeat(9)}${i}`;
  write('same.txt', Array.from({ length: 100 }, (_, i) => notice(i)).join('\n'));
  await expect(
    prepare({ d: source({ files: 'same.txt', separator: '\n' }) }, 'train', { vocabSize: 512 }),
  ).rejects.toThrow(
    /vocabulary of \d+ only, not 512; .*; \d\d of 100 documents were left out as near-duplicates of others/,
  );
});

describe('what cannot be read is refused in one line with its place', () => {
  it.each([
    ['a pattern without a match', { files: '*.rst' }, /domain d: no file matches "\*\.rst" in \//],
    ['a folder that is not there', { folder: '/nowhere', files: '*' }, /no file matches "\*" in \/nowhere/],
    ['a folder', { files: 'bad' }, /bad is a folder; say which files in it/],
    ['nothing but empty files', { files: 'bad/empty*.txt' }, /domain d: there is no text in its 1 files/],
    ['a line that is no JSON', { files: 'bad/json.jsonl' }, /json\.jsonl:2 is no JSON/],
    [
      'a line without the field',
      { files: 'bad/json.jsonl', field: 'b' },
      /json\.jsonl:1 has no text in field "b" \(fields: text\)/,
    ],
    ['a CSV without the column', { files: 'bad/a.csv' }, /a\.csv:1 has no column "text" \(columns: a, b\)/],
    ['a CSV with a ragged row', { files: 'bad/a.csv', field: 'a' }, /a\.csv:3 is no CSV \(/],
    [
      'a CSV between semicolons',
      { files: 'bad/semicolons.csv' },
      /no column "text" \(columns: id;text\); it is separated by ";", not by ","/,
    ],
    [
      'a CSV with an open quote',
      { files: 'bad/quote.csv', field: 'b' },
      /quote\.csv is no CSV: a quote in the record after line 3 is not closed/,
    ],
    ['a CSV of another encoding', { files: 'bad/latin1.csv' }, /latin1\.csv is not UTF-8 text/],
    ['what is no Parquet', { files: 'bad/a.parquet' }, /a\.parquet is no complete Parquet file \(/],
    [
      'a Parquet file of few bytes and many rows',
      { files: 'bad/run.parquet' },
      /run\.parquet has a row group of 4194305 rows; write it with 4194304 in one at most/,
    ],
    ['half a gzip file', { files: 'bad/half.txt.gz' }, /half\.txt\.gz is no complete gzip file \(/],
    ['what is no gzip file', { files: 'bad/no.txt.gz' }, /no\.txt\.gz is no complete gzip file \(/],
    [
      'half a Zstandard file',
      { files: 'bad/half.jsonl.zst' },
      /half\.jsonl\.zst is no complete Zstandard file \(/,
    ],
    ['UTF-16', { files: 'bad/utf16.txt' }, /utf16\.txt is UTF-16; convert it/],
    ['Latin-1 in Chinese amounts', { files: 'bad/latin1.txt' }, /latin1\.txt is not UTF-8 text/],
    ['a program', { files: 'bad/program.bin' }, /program\.bin is no text: it has zero bytes/],
    [
      'a Zstandard file that needs much memory',
      { files: 'bad/long.txt.zst' },
      /long\.txt\.zst needs a window of 2048 MiB; compress it without --long/,
    ],
    ['a device', { files: '/dev/zero' }, /\/dev\/zero is no regular file but a device/],
    ['a link to a device', { files: 'bad/zero*' }, /zero is no regular file but a device/],
    [
      "the kernel's files",
      { files: '/sys/**/*.txt' },
      /"\/sys\/\*\*\/\*\.txt" is of files that the kernel makes/,
    ],
    [
      'a pattern that goes up again',
      { files: '**/../../**/x' },
      /"\*\*\/\.\.\/\.\.\/\*\*\/x" has \.\. after a wildcard; begin with the folder instead/,
    ],
    [
      'a link that leads nowhere',
      { files: 'bad/*link' },
      /no file matches "bad\/\*link"|link cannot be read/,
    ],
  ])('%s', async (_, written, message) => {
    write('bad/empty.txt', '');
    write('bad/empty2.txt', ' \n');
    write('bad/json.jsonl', '{"text": "a"}\n{"text": \n');
    write('bad/a.csv', 'a,b\n1,2\n1,2,3\n');
    write('bad/semicolons.csv', 'id;text\n1;2\n');
    write('bad/quote.csv', 'a,b\n1,2\n1,"2"\n1,"2\n1,2\n1,2\n');
    write('bad/latin1.csv', Buffer.from(`text\n${'é è ü ö ä ß '.repeat(20)}\n`, 'latin1'));
    write('bad/a.parquet', 'PAR1 and nothing more PAR1');
    if ('files' in written && written.files === 'bad/run.parquet') {
      const data = new Array(2 ** 22 + 1).fill('a');
      const columnData = [{ name: 'text', data, type: 'STRING' as const }];
      write('bad/run.parquet', Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: data.length })));
    }
    write('bad/half.txt.gz', gzipSync(sentences(0, 200).join('\n')).subarray(0, 700));
    write('bad/no.txt.gz', 'plain');
    write('bad/half.jsonl.zst', Buffer.from(ZSTD, 'base64').subarray(0, 100));
    write('bad/utf16.txt', Buffer.from('\ufeffwide', 'utf16le'));
    write('bad/latin1.txt', Buffer.from('é è ü ö ä ß '.repeat(20), 'latin1'));
    write('bad/program.bin', Buffer.from('ELF\0\0\0'));
    // The window's exponent is 31.
    write('bad/long.txt.zst', Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0));
    rmSync(path.join(folder, 'bad/zero'), { force: true });
    symlinkSync('/dev/zero', path.join(folder, 'bad/zero'));
    rmSync(path.join(folder, 'bad/link'), { force: true });
    symlinkSync('/nowhere/at/all', path.join(folder, 'bad/link'));
    const error: Error = await prepare({ d: source(written) }).then(
      () => expect.fail('it was prepared'),
      (caught) => caught,
    );
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  });

  it.each([
    ['vanished before it was read; start again', (file: string) => rmSync(file)],
    ['has become shorter; start again', (file: string) => truncateSync(file, 3)],
  ])('a file that %s', async (message, change) => {
    const file = write('fleeting.txt', sentence(1));
    const options = optionsOf({ d: source({ files: 'fleeting.txt' }) });
    const preparation = planPreparation(options);
    change(file);
    await expect(makeDataset(preparation, options)).rejects.toThrow(`fleeting.txt ${message}`);
    expect(existsSync(preparation.work)).toBe(false);
  });

  it('a file without permission', async () => {
    const file = write('secret.txt', 'secret');
    chmodSync(file, 0);
    // Root may read every file, so this process is nobody meanwhile, who gets at the rest.
    const isRoot = process.getuid!() === 0;
    if (isRoot) chmodSync(folder, 0o777);
    if (isRoot) process.seteuid!(NOBODY);
    try {
      const own = { dataDir: path.join(folder, 'data-of-nobody') };
      await expect(prepare({ d: source({ files: 'secret.txt' }) }, tokenizerFile, own)).rejects.toThrow(
        /secret\.txt cannot be read/,
      );
    } finally {
      if (isRoot) process.seteuid!(0);
    }
  });

  it('a byte that is not UTF-8 is no reason to refuse a short text', async () => {
    write(
      'short.txt',
      Buffer.concat([Buffer.from('caf'), Buffer.of(0xe9), Buffer.from(`\n${'x'.repeat(8)}`)]),
    );
    const dataset = await prepare({ d: source({ files: 'short.txt', separator: '\n' }) });
    expect(textsOf(dataset).sort()).toEqual(['caf', 'xxxxxxxx']);
  });

  it('single bytes that are not UTF-8 are left out, and it says so', async () => {
    write('mixed.txt', Buffer.concat([Buffer.from(sentence(7)), Buffer.of(0xff), Buffer.from(' and on')]));
    const dataset = await prepare({ d: source({ files: 'mixed.txt' }) });
    expect(textsOf(dataset)).toEqual([`${sentence(7)} and on`]);
    expect(lines.at(-2)).toMatch(/mixed\.txt has bytes that are not UTF-8; they are left out/);
  });
});

it.each([
  ['lines.txt', { separator: '\n' }, (text: string) => text],
  ['lines.jsonl', {}, (text: string) => JSON.stringify({ text })],
])('a short document or last line of %s may lose a byte of few', async (name, written, form) => {
  const texts = sentences(200, 20);
  // The last line stands alone in a window, as no line end follows.
  write(name, Buffer.from([form(texts.join(' ')), form('caf\u00e9'), form('th\u00e9')].join('\n'), 'latin1'));
  const dataset = await prepare({ d: source({ files: name, ...written }) });
  expect(textsOf(dataset)).toEqual(expect.arrayContaining(['caf', 'th']));
  expect(lines.at(-2)).toContain(`${name} has bytes that are not UTF-8`);
});

describe('text of several parts', () => {
  const NUM_DOCUMENTS = 30_000;
  /** Every tenth is a near copy of an earlier one. */
  const document = (i: number): string => (i % 10 === 9 ? `${long(i - 5)} Again!` : long(i));
  const long = (i: number): string =>
    Array.from({ length: 4 }, (_, k) => `${sentence(i * 4 + k)} ${(i * 7919 + k).toString(36)} x${i}.`).join(
      ' ',
    );
  const documents = Array.from({ length: NUM_DOCUMENTS }, (_, i) => document(i));
  const dataDir = () => path.join(folder, 'large');
  const options = () => ({ dataDir: dataDir(), maxBytesPerDomain: 4_500_000 });
  const large = () => ({ d: source({ files: 'large/*.jsonl' }) });
  const shards = () =>
    new Map(
      readdirSync(path.join(dataDir(), 'shards'))
        .filter((name) => name.endsWith('.shard'))
        .map((name) => [name, statSync(path.join(dataDir(), 'shards', name)).ino]),
    );
  let dataset: Dataset;

  beforeAll(async () => {
    const most = 0.8 * NUM_DOCUMENTS;
    for (const [name, some] of [
      ['a', documents.slice(0, most)],
      ['c', documents.slice(most)],
    ] as const)
      write(`large/${name}.jsonl`, some.map((text) => JSON.stringify({ text })).join('\n'));
    expect(statSync(path.join(folder, 'large/a.jsonl')).size).toBeGreaterThan(1.5 * PART_BYTES);
    const child = runProgram({ sources: large(), ...options() });
    // Killed once it has done something.
    while (!existsSync(path.join(dataDir(), 'shards')) || shards().size === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const before = shards();
    dataset = await prepare(large(), tokenizerFile, options());
    for (const [name, inode] of before) expect(shards().get(name)).toBe(inode);
    expect(readdirSync(dataDir()).filter((name) => name.includes('.tmp-'))).toEqual([]);
  });

  it('is selected as documents in memory are, after an interruption too', () => {
    const expected = selectDocuments(
      documents.map((text) => ({ text, source: '' })),
      { maxBytes: 4_500_000, validationShare: 0.3 },
    );
    for (const split of ['train', 'validation'] as const)
      expect(textsOf(dataset, 0, [split]).sort()).toEqual(expected[split].map(({ text }) => text).sort());
    const { domains } = JSON.parse(readFileSync(path.join(dataset.dir, 'index.json'), 'utf8'));
    expect(domains[0].duplicates).toBe(expected.duplicates);
    expect(expected.duplicates).toBeGreaterThan(NUM_DOCUMENTS / 11);
  });

  it('is not prepared again where a file was only touched, or another added', async () => {
    const before = shards();
    utimesSync(path.join(folder, 'large/a.jsonl'), new Date(), new Date(0));
    const touched = await prepare(large(), tokenizerFile, options());
    expect(shards()).toEqual(before);
    expect(touched.dir).not.toBe(dataset.dir);
    expect(readFileSync(path.join(touched.dir, 'd.train.tokens'))).toEqual(
      readFileSync(path.join(dataset.dir, 'd.train.tokens')),
    );
    write('large/b.jsonl', JSON.stringify({ text: 'One document more than before.' }));
    const grown = await prepare(large(), tokenizerFile, { ...options(), maxBytesPerDomain: null });
    const after = shards();
    for (const [name, inode] of before) expect(after.get(name)).toBe(inode);
    expect(after.size).toBe(before.size + 1);
    expect(textsOf(grown)).toContain('One document more than before.');
  });

  it('tells of its progress, up to all of it', async () => {
    const seen: number[] = [];
    const total = ['a', 'c'].reduce(
      (sum, name) => sum + statSync(path.join(folder, `large/${name}.jsonl`)).size,
      0,
    );
    await prepare({ d: source({ files: ['large/a.jsonl', 'large/c.jsonl'] }) }, tokenizerFile, {
      dataDir: path.join(folder, 'large-again'),
      progress: ({ doneBytes, totalBytes }) => {
        expect(totalBytes).toBe(total);
        seen.push(doneBytes);
      },
    });
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
  });
});

/** `prepare` in a process of its own. */
function runProgram(more: Partial<PrepareOptions>) {
  const module = fileURLToPath(new URL('../../src/data/prepare/prepare.ts', import.meta.url));
  const plain = {
    corpusDir: CORPUS_DIR,
    corpus: 'standard',
    domains: ['d'],
    validationShare: 0.3,
    vocabSize: 270,
    tokenizer: tokenizerFile,
    endOfText: null,
    ...more,
  };
  const script = `import { prepareDataset } from ${JSON.stringify(module)};
    await prepareDataset({ ...${JSON.stringify(plain)}, log() {} });`;
  return spawn(process.execPath, [...SCRIPT, script]);
}

it('a full disk is named by its option, and what fits stays', async (context) => {
  const disk = smallDisk(6 << 20);
  if (disk === null) return context.skip(NO_SMALL_DISK);
  write('full.txt', Array.from({ length: 80_000 }, (_, i) => `${sentence(i)} ${sentence(7 * i)}`).join('\n'));
  const full = { d: source({ files: 'full.txt', separator: '\n' }) };
  const refused = prepare(full, tokenizerFile, { dataDir: path.join(disk, 'data') });
  await expect(refused).rejects.toThrow(/^--data-dir \S+data: ENOSPC: no space left on device/);
  expect(readdirSync(path.join(disk, 'data'))).toEqual(['shards']);
  expect(readdirSync(path.join(disk, 'data/shards')).filter((name) => name.includes('.tmp'))).toEqual([]);
});

it.each([
  ['empty', 0],
  ['cut short', 10],
  ['cut behind its head', 40],
])('what a power failure has left %s is made again', async (_, length) => {
  const dataDir = path.join(folder, `power-${length}`);
  write('power.txt', sentences(900, 20).join('\n'));
  const own = { d: source({ files: 'power.txt', separator: '\n' }) };
  const { dir } = await prepare(own, tokenizerFile, { dataDir });
  const shards = path.join(dataDir, 'shards');
  const contents = () => readdirSync(shards).map((name) => [name, readFileSync(path.join(shards, name))]);
  const whole = contents();
  expect(whole).toHaveLength(3);
  for (const end of [/\.seen$/, /\.part$/, /\.shard$/, /./]) {
    for (const name of readdirSync(shards).filter((each) => end.test(each)))
      truncateSync(path.join(shards, name), length);
    rmSync(dir, { recursive: true });
    await prepare(own, tokenizerFile, { dataDir });
    expect(contents()).toEqual(whole);
  }
});

it('datasets and shards of it are for their owner alone, also those of an earlier version', async () => {
  const before = process.umask(0);
  try {
    write('secret.txt', sentences(0, 40).join('\n'));
    const sources = { secret: source({ files: 'secret.txt', separator: '\n' }) };
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

it('large files with the same contents are prepared once, by several threads', async () => {
  const text = Array.from({ length: 70_000 }, (_, i) => sentence(i)).join('\n');
  expect(text.length).toBeGreaterThan(PART_BYTES / 2);
  for (const name of ['a', 'b', 'c']) write(`same/${name}.txt`, text + text);
  const dataDir = path.join(folder, 'same/data');
  const dataset = await prepare({ d: source({ files: 'same/*.txt', separator: '\n' }) }, tokenizerFile, {
    dataDir,
  });
  const { documents } = dataset.domains[0]!.train;
  expect(documents + dataset.domains[0]!.validation.documents).toBeLessThan(70_001);
  const names = readdirSync(path.join(dataDir, 'shards'));
  const count = (end: string) => names.filter((name) => name.endsWith(end)).length;
  expect(count('.seen')).toBe(3 * count('.part'));
  expect(names.filter((name) => name.includes('.tmp-'))).toEqual([]);
});

it.each([
  ['zstd', (megabytes: number) => zstdOf(97, megabytes << 20)],
  ['gzip', (megabytes: number) => Buffer.concat(Array(megabytes).fill(gzipSync(Buffer.alloc(1 << 20, 'a'))))],
] as const)('what a small %s file gives is never in memory as a whole', async (compression, compressed) => {
  const file = write(`bomb.${compression}`, compressed(256));
  const before = process.memoryUsage().arrayBuffers;
  let bytes = 0;
  let most = 0;
  const span = { file, begin: 0, end: statSync(file).size };
  for await (const window of bytesOf(span, compression, { onBytes: () => 0, onInvalid: () => 0 })) {
    bytes += window.length;
    // The bound is on what is held, not on what waits to be collected.
    if (bytes % (16 << 20) < window.length) collectNow();
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(bytes).toBe(256 << 20);
  expect(most).toBeLessThan(128 << 20);
});

it('a tokenizer is trained on as much of a small gzip file as of a large text', async () => {
  const text = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `${sentence(i)}\n`).join(''));
  const numMembers = Math.ceil((320 << 20) / text.length);
  const file = write('bomb.txt.gz', Buffer.concat(Array(numMembers).fill(gzipSync(text))));
  const modules = ['prepare/own-domain', 'read/source-files', 'read/text-source'].map((name) =>
    fileURLToPath(new URL(`../../src/data/${name}.ts`, import.meta.url)),
  );
  const script = `const [{ openDomain, trainingTexts }, { listFiles }, { textSourceSchema }] =
      await Promise.all(${JSON.stringify(modules)}.map((module) => import(module)));
    const source = textSourceSchema.parse({ folder: '/', files: ${JSON.stringify(file)} });
    const before = process.resourceUsage().maxRSS;
    const { texts } = await trainingTexts(openDomain('d', source, listFiles('d', source)), {
      maxBytes: Number.POSITIVE_INFINITY, validationShare: 0.05, numDomains: 1 });
    const bytes = texts.reduce((sum, each) => sum + each.length, 0);
    console.log(JSON.stringify({ bytes, grown: 1024 * (process.resourceUsage().maxRSS - before) }));`;
  const child = spawn(process.execPath, [...SCRIPT, script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  await once(child, 'close');
  const { bytes, grown } = JSON.parse(said);
  expect(bytes).toBeLessThan(20 << 20);
  // All of it would be more as text alone.
  expect(grown).toBeLessThan(256 << 20);
});

/** A Zstandard frame (RFC 8878) of blocks that repeat one byte. */
function zstdOf(byte: number, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let left = length; left > 0; left -= 1 << 17) {
    const size = Math.min(left, 1 << 17);
    const head = (size << 3) | (1 << 1) | (left === size ? 1 : 0);
    blocks.push(Buffer.of(head & 255, (head >> 8) & 255, head >> 16, byte));
  }
  // Magic number, no flags, a window of 128 KiB.
  return Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3), ...blocks]);
}

it('one line of two gigabytes is read in windows, and refused where it has to be whole', async () => {
  const text = write('line.txt', '');
  const json = write('line.jsonl', '');
  // A sparse file has zero bytes, so the line is written, but only as long as the limit needs.
  const words = Buffer.from('word '.repeat(200_000));
  for (let i = 0; i < 5; i++) writeFileSync(text, words, { flag: 'a' });
  for (let i = 0; i < 70; i++) writeFileSync(json, words, { flag: 'a' });
  const { domains } = await prepare({ d: source({ files: 'line.txt' }) });
  // All chunks but the first say the same.
  expect(domains[0]!.train.documents + domains[0]!.validation.documents).toBe(1);
  await expect(prepare({ d: source({ files: 'line.jsonl' }) })).rejects.toThrow(
    /line\.jsonl:1 is longer than 64 MiB/,
  );
});
