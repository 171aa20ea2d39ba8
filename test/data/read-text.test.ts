import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, expect, it } from 'vitest';
import { openDomain, trainingTexts } from '../../src/data/prepare/own-domain.js';
import { PART_BYTES } from '../../src/data/prepare/parts.js';
import { bytesOf } from '../../src/data/read/bytes.js';
import { readDocuments } from '../../src/data/read/documents.js';
import { listFiles } from '../../src/data/read/source-files.js';
import { textBytes, textSourceSchema } from '../../src/data/read/text-source.js';
import { collectNow } from '../../src/garbage-collection.js';

/** The user id of `nobody`. */
const NOBODY = 65_534;

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-read-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, contents: string | Uint8Array): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, contents);
  return file;
}

function open(files: string, written: object = {}) {
  const source = textSourceSchema.parse({ folder, files, ...written });
  return openDomain('d', source, listFiles('d', source));
}

/** Reads the documents of files, and collects the files reported to have invalid UTF-8. */
async function read(files: string, written: object = {}) {
  const { parts, source } = open(files, written);
  const [texts, invalid]: string[][] = [[], []];
  const reading = { onBytes: () => undefined, onInvalid: (file: string) => invalid.push(file) };
  for (const span of parts.flatMap(({ spans }) => spans))
    for await (const documents of readDocuments(span, source, reading)) texts.push(...documents);
  return { texts, invalid, numParts: parts.length };
}

const sentence = (i: number) => `Number ${i} is ${'very '.repeat(i % 5)}good, and ${i * 7919} better.`;
const sentences = (count: number) => Array.from({ length: count }, (_, i) => sentence(i));
const TEXTS = sentences(9);
const LINES = { separator: '\n' };
const BODY = { field: 'body' };
const QUOTED = TEXTS.map((text) => `${text}\nand "more"`);
const ONE_LINE = TEXTS.join('\n');
const JSON_LINES = jsonLines('text');

function jsonLines(field: string): string {
  return TEXTS.map((text) => JSON.stringify({ id: 1, [field]: text })).join('\n');
}

function csv(delimiter: string): string {
  const rows = QUOTED.map((text, i) => `${i}${delimiter}"${text.replaceAll('"', '""')}"`);
  return [`id${delimiter}body`, ...rows].join('\r\n');
}

function parquet(codec: 'SNAPPY' | 'UNCOMPRESSED'): Uint8Array {
  const data = [...TEXTS, null];
  const columnData = [
    { name: 'id', data: data.map((_, i) => i), type: 'INT32' as const },
    { name: 'text', data, type: 'STRING' as const, nullable: true },
  ];
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 7, codec }));
}

// Two frames, as `cat a.zst b.zst` gives: 40 lines {"text": "Line 0 of a compressed file, 0."}, made by zstd 1.5.
const ZSTD =
  'KLUv/QRoVQUA4skcF5DNAYMBHAVqsJ2vI21KSkoKGbczhXEBQMUE7D1uuZz7mr3qe97Z/P7I3X+4vi0P9fO4ZTv0xztET/SWrNqvusy+yL7N' +
  'jRu3N+o6u6a+PmM2bI5AxYRbAbIoyTqQKEKgh3GMVazEWbeQRiHYGpg0IRKjAiaoEQCOANnrfwbAM64BEfwOgRAUql0Dml+bXxvf64TgT2Ut' +
  'sxJ0WqjFisEzKpBe43xAqwJxYEpuKLUv/QRoNQUAcsodF5DNAYMBHAVqsJ2vgyTJiogQmLczhXEBQMUEXPfP/Dt1vdPv9WNv3LCb2+Zvp2JT' +
  'v1XO9+XFa249RW7/qY3piq7Y+86XjfubG9/9tmK6OuZ2/mdrCFRMOFdnXAGyKMk6kChCoIdxjFWsxFmXC2kUgq2BSRMiMSomqBHwjYDR7f8G' +
  '4DcDEfwzBA1fiOgDICvis8KBQ9cUwyxUxG8GabFcUoGkBlffeQo=';
const ZSTD_TEXTS = Array.from({ length: 40 }, (_, i) => `Line ${i} of a compressed file, ${i * 7919}.`);

it.each<[name: string, contents: string | Uint8Array, written?: object, expected?: string[]]>([
  ['a.md', ONE_LINE, {}, [ONE_LINE]],
  ['b.txt', TEXTS.join('\n==\n'), { separator: '\n==\n' }],
  ['c.txt.gz', gzipSync(ONE_LINE), LINES],
  ['members.txt.gz', Buffer.concat([gzipSync('a\n'), gzipSync('b')]), LINES, ['a', 'b']],
  ['e.jsonl', `${jsonLines('answer')}\n\n`, { field: 'answer' }],
  ['null.jsonl', `{"text":null}\n${JSON_LINES}`],
  ['byte-order-mark.ndjson', `\ufeff${JSON_LINES}`],
  ['g.jsonl.gz', gzipSync(JSON_LINES)],
  ['h.csv', `\ufeff${csv(',')}`, BODY, QUOTED],
  ['i.tsv.gz', gzipSync(csv('\t')), BODY, QUOTED],
  ['j.parquet', parquet('UNCOMPRESSED')],
  ['snappy.parquet', parquet('SNAPPY')],
  ['format.data', JSON_LINES, { format: 'jsonl' }],
  ['two-frames.jsonl.zst', Buffer.from(ZSTD, 'base64'), {}, ZSTD_TEXTS],
])('reads the documents of %s', async (name, contents, written, expected = TEXTS) => {
  write(name, contents);
  expect((await read(name, written)).texts).toEqual(expected);
});

it('counts the size of a compressed file threefold, as the source or the name says', () => {
  const sizeOf = (file: string, format?: 'parquet' | 'jsonl') => textBytes({ file, bytes: 10 }, { format });
  expect([sizeOf('a.txt'), sizeOf('a.parquet', 'jsonl')]).toEqual([10, 10]);
  expect([sizeOf('a.gz'), sizeOf('a.csv.zst'), sizeOf('a.data', 'parquet')]).toEqual([30, 30, 30]);
});

it('reads a large file in parts, each document once', async () => {
  const texts = Array.from({ length: 120 }, (_, i) => `${i} ${'word '.repeat(15_000)}`);
  write('large.txt', texts.join('\n==\n'));
  const { texts: documents, numParts } = await read('large.txt', { separator: '\n==\n' });
  expect(numParts).toBe(Math.ceil((120 * 75_000) / PART_BYTES) - 1);
  expect(documents).toEqual(texts);
});

it('refuses in one line what it cannot read, with its place', async () => {
  write('bad/json.jsonl', '{"text": "a"}\n{"text": \n');
  write('bad/a.csv', 'a,b\n1,2\n1,2,3\n');
  write('bad/semicolons.csv', 'id;text\n1;2\n');
  write('bad/quote.csv', 'a,b\n1,2\n1,"2"\n1,"2\n1,2\n1,2\n');
  write('bad/latin1.csv', Buffer.from(`text\n${'é è ü ö ä ß '.repeat(20)}\n`, 'latin1'));
  write('bad/a.parquet', 'PAR1 and nothing more PAR1');
  const data = Array<string>((1 << 22) + 1).fill('');
  const run = parquetWriteBuffer({
    columnData: [{ name: 'text', data, type: 'STRING' }],
    rowGroupSize: data.length,
  });
  write('bad/run.parquet', new Uint8Array(run));
  write('bad/half.txt.gz', gzipSync(sentences(200).join('')).subarray(0, -20));
  write('bad/no.txt.gz', 'no gzip');
  write('bad/half.jsonl.zst', Buffer.from(ZSTD, 'base64').subarray(0, 150));
  write('bad/utf16.txt', Buffer.from('\ufeffsome text', 'utf16le'));
  write('bad/latin1.txt', Buffer.from('é è ü ö ä ß '.repeat(20), 'latin1'));
  write('bad/program.bin', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 1]));
  write('bad/long.txt.zst', Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0));
  symlinkSync('/dev/zero', path.join(folder, 'bad/zero'));
  symlinkSync('/nowhere/at/all', path.join(folder, 'bad/link'));
  for (const [files, message, written] of [
    ['*.rst', /domain d: no file matches "\*\.rst" in \//],
    ['*', /no file matches "\*" in \/nowhere/, { folder: '/nowhere' }],
    ['bad', /bad is a folder; say which files in it/],
    ['bad/json.jsonl', /json\.jsonl:2 is no JSON/],
    ['bad/json.jsonl', /json\.jsonl:1 has no text in field "b" \(fields: text\)/, { field: 'b' }],
    ['bad/a.csv', /a\.csv:1 has no column "text" \(columns: a, b\)/],
    ['bad/a.csv', /a\.csv:3 is no CSV \(/, { field: 'a' }],
    ['bad/semicolons.csv', /no column "text" \(columns: id;text\); it is separated by ";", not by ","/],
    [
      'bad/quote.csv',
      /quote\.csv is no CSV: a quote in the record after line 3 is not closed/,
      { field: 'b' },
    ],
    ['bad/latin1.csv', /latin1\.csv is not UTF-8 text/],
    ['bad/a.parquet', /a\.parquet is no complete Parquet file \(/],
    ['bad/run.parquet', /a row group of 4194305 rows; write it with 4194304 in one at most/],
    ['bad/half.txt.gz', /half\.txt\.gz is no complete gzip file \(/],
    ['bad/no.txt.gz', /no\.txt\.gz is no complete gzip file \(/],
    ['bad/half.jsonl.zst', /half\.jsonl\.zst is no complete Zstandard file \(/],
    ['bad/utf16.txt', /utf16\.txt is UTF-16; convert it/],
    ['bad/latin1.txt', /latin1\.txt is not UTF-8 text/],
    ['bad/program.bin', /program\.bin is no text: it has zero bytes/],
    ['bad/long.txt.zst', /needs a window of 2048 MiB; compress it without --long/],
    ['/dev/zero', /\/dev\/zero is no regular file but a device/],
    ['bad/zero*', /zero is no regular file but a device/],
    ['/sys/**/*.txt', /"\/sys\/\*\*\/\*\.txt" is of files that the kernel makes/],
    ['**/../../**/x', /has \.\. after a wildcard; begin with the folder instead/],
    ['bad/*link', /no file matches "bad\/\*link"|link cannot be read/],
  ] as [string, RegExp, object?][]) {
    const reading = read(files, written);
    await expect(reading, files).rejects.toThrow(message);
    await expect(reading, files).rejects.toThrow(/^[^\n]*$/);
  }
});

it('refuses a file without permission', async () => {
  chmodSync(write('secret.txt', 'secret'), 0);
  // Root may read every file, so the process runs as `nobody` meanwhile, who may only enter the folder.
  const isRoot = process.getuid!() === 0;
  chmodSync(folder, 0o755);
  if (isRoot) process.seteuid!(NOBODY);
  try {
    await expect(read('secret.txt')).rejects.toThrow(/secret\.txt cannot be read/);
  } finally {
    if (isRoot) process.seteuid!(0);
  }
});

it('reads bytes that are not UTF-8 as replacement characters where they are few, and names the file', async () => {
  const form = (name: string, text: string) => (name.endsWith('jsonl') ? JSON.stringify({ text }) : text);
  for (const name of ['lines.txt', 'lines.jsonl']) {
    // The last line is decoded separately, as no line end follows it.
    const lines = [form(name, TEXTS.join(' ')), form(name, 'caf\u00e9'), form(name, 'th\u00e9')];
    const file = write(name, Buffer.from(lines.join('\n'), 'latin1'));
    const { texts, invalid } = await read(name, name.endsWith('txt') ? LINES : {});
    expect(texts.slice(1)).toEqual(['caf\ufffd', 'th\ufffd']);
    expect(invalid).toContain(file);
  }
  // In a short text any share of invalid bytes is accepted.
  write('short.txt', Buffer.from('caf\u00e9', 'latin1'));
  expect((await read('short.txt')).texts).toEqual(['caf\ufffd']);
});

it('reads a line of any length in pieces, and refuses one that has to be whole', async () => {
  const words = 'word '.repeat(200_000);
  write('line.txt', words.repeat(5));
  write('line.jsonl', words.repeat(70));
  const { texts } = await read('line.txt');
  expect(texts.join('')).toBe(words.repeat(5));
  expect(Math.max(...texts.map(({ length }) => length))).toBeLessThanOrEqual(1 << 20);
  await expect(read('line.jsonl')).rejects.toThrow(/line\.jsonl:1 is longer than 64 MiB/);
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

it.each([
  ['zstd', zstdOf(97, 128 << 20)],
  ['gzip', Buffer.concat(Array(128).fill(gzipSync(Buffer.alloc(1 << 20, 'a'))))],
] as const)('never has in memory all of what a small %s file unpacks to', async (compression, compressed) => {
  const file = write(`bomb.${compression}`, compressed);
  const before = process.memoryUsage().arrayBuffers;
  let [bytes, most] = [0, 0];
  const span = { file, begin: 0, end: statSync(file).size };
  for await (const window of bytesOf(span, compression, { onBytes: () => 0, onInvalid: () => 0 })) {
    bytes += window.length;
    // The bound applies to live memory, not to garbage that awaits collection.
    if (bytes % (16 << 20) < window.length) collectNow();
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(bytes).toBe(128 << 20);
  expect(most).toBeLessThan(64 << 20);
});

it('trains a tokenizer on as much of a small gzip file as of a large text', async () => {
  const member = gzipSync(sentences(20_000).join('\n'));
  write('bomb.txt.gz', Buffer.concat(Array(40).fill(member)));
  // A sixteenth of 16 MiB is 1 MiB.
  const options = { maxBytes: Number.POSITIVE_INFINITY, validationShare: 0.05, numDomains: 16 };
  const { texts } = await trainingTexts(open('bomb.txt.gz'), options);
  expect(texts.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(2 << 20);
});
