import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CORPUS_DIR } from '../../src/data/corpora.js';
import type { Dataset } from '../../src/data/dataset.js';
import { prepareDataset } from '../../src/data/prepare.js';
import { type TextSource, textSourceSchema } from '../../src/data/text-source.js';
import { loadTokenizer } from '../../src/data/tokenizer.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-own-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
  writeFileSync(path.join(folder, name), text);
}

const source = (written: object): TextSource => textSourceSchema.parse({ folder, ...written });

function prepare(sources: Record<string, TextSource>): Dataset {
  return prepareDataset({
    dataDir: path.join(folder, 'data'),
    corpusDir: CORPUS_DIR,
    domains: Object.keys(sources),
    sources,
    maxBytesPerDomain: null,
    validationShare: 0.3,
    vocabSize: 260,
    ...{ tokenizer: 'train', endOfText: null },
    log: () => undefined,
  });
}

/** The documents of both splits of a domain, sorted. */
function textsOf(dataset: Dataset, id = 0): string[] {
  const tokenizer = loadTokenizer(dataset.tokenizerFile);
  const { train, validation } = dataset.domains[id]!;
  return [train, validation]
    .flatMap(({ ids }) =>
      [...ids.slice(0, ids.length)].reduce<number[][]>(
        (documents, token) => {
          if (token === dataset.endOfText) documents.push([]);
          else documents.at(-1)!.push(token);
          return documents;
        },
        [[]],
      ),
    )
    .filter((ids) => ids.length > 0)
    .map((ids) => tokenizer.decode(ids))
    .sort();
}

const sentence = (i: number): string =>
  `Number ${i} is ${'very '.repeat(i % 5)}good, and ${i * 7919} better.`;

it('reads a document a file, the parts of a file, and the lines of JSON', () => {
  for (let i = 0; i < 20; i++) write(`notes/${i}.md`, sentence(i));
  write('notes/empty.md', '');
  write('parts.txt', Array.from({ length: 20 }, (_, i) => sentence(100 + i)).join('\n==\n'));
  write(
    'qa.jsonl',
    Array.from({ length: 20 }, (_, i) => JSON.stringify({ answer: sentence(200 + i) })).join('\n'),
  );
  const dataset = prepare({
    notes: source({ files: 'notes/**/*.md' }),
    parts: source({ files: ['parts.txt'], separator: '\n==\n' }),
    qa: source({ files: '*.jsonl', field: 'answer' }),
  });
  for (const [id, first] of [0, 100, 200].entries())
    expect(textsOf(dataset, id)).toEqual(Array.from({ length: 20 }, (_, i) => sentence(first + i)).sort());
});

it.each([
  ['a pattern without a match', { files: '*.rst' }, /domain d: no file matches "\*\.rst" in \//],
  ['a folder', { files: 'notes' }, /notes is a folder; say which files in it/],
  ['a line that is no JSON', { files: 'bad.jsonl' }, /bad\.jsonl:2: is no JSON/],
  ['a line without the field', { files: 'qa.jsonl' }, /qa\.jsonl:1: has no text in field "text"/],
])('%s is refused with its place', (_, written, message) => {
  write('bad.jsonl', '{"text": "a"}\n{"text": \n');
  expect(() => prepare({ d: source(written) })).toThrow(message);
});
