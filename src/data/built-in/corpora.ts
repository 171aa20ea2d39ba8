import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setUpFolder } from '../../../scripts/set-up-folder.mjs';
import { TrainerError } from '../../errors.js';
import { locmoeCommand } from '../../os/command-line.js';
import { sha256 } from '../../sha256.js';
import { type DomainDocuments, type SelectOptions, selectDocuments } from '../prepare/select-documents.js';
import { chunkText, cleanText } from '../read/chunks.js';
import type { Document } from '../split.js';
import { type Corpus, DOMAINS, type Source, sourcesOf } from './sources.js';

/** Folder of the installed text sources. */
export const CORPUS_DIR = setUpFolder('corpus', 'node_modules');

/** Returns the folder of the packages of a corpus; `large` has a separate one. */
export function corpusFolder(corpusDir: string, corpus: Corpus): string {
  return corpus === 'large' ? path.join(corpusDir, 'large') : corpusDir;
}

/**
 * Returns the documents of a built-in domain, deduplicated, capped and split (`selectDocuments`).
 *
 * @throws TrainerError `BAD_INPUT` for an unknown domain, or a source that is not installed
 */
export async function extractDomain(
  domain: string,
  options: SelectOptions & { readonly corpusDir: string; readonly corpus: Corpus },
): Promise<DomainDocuments> {
  const { corpusDir, corpus } = options;
  if (!DOMAINS.includes(domain))
    throw new TrainerError(
      'BAD_INPUT',
      `data.domains: unknown domain "${domain}"; known domains are ${DOMAINS.join(', ')}`,
    );
  const documents: Document[] = [];
  for (const { from, source } of sourcesOf(domain, corpus))
    for (const document of await readSource(domain, source, corpusDir, from)) documents.push(document);
  return selectDocuments(documents, options);
}

/** Hashes the lock file that pins the sources (SHA-256); throws `BAD_INPUT` if it is missing. */
export function corpusLockSha256(corpusDir: string): string {
  const lock = path.join(corpusDir, 'package-lock.json');
  if (!existsSync(lock))
    throw new TrainerError(
      'BAD_INPUT',
      `no corpus in ${corpusDir}; run ${locmoeCommand(['setup', '--corpus'])}`,
    );
  return sha256(readFileSync(lock));
}

async function readSource(
  domain: string,
  source: Source,
  corpusDir: string,
  corpus: Corpus,
): Promise<Document[]> {
  const root = corpusFolder(corpusDir, corpus);
  const folder = path.join(root, 'node_modules', source.packageName);
  const missing =
    `domain ${domain}: the text source ${source.packageName} is not installed in ` +
    `${root}; run ${locmoeCommand(['setup', '--corpus', ...(corpus === 'large' ? ['large'] : [])])}`;
  if (!existsSync(folder)) throw new TrainerError('BAD_INPUT', missing);
  try {
    return [...(await source.read(folder))].flatMap(({ text, file }) =>
      chunkText(cleanText(text)).map((chunk) => ({
        text: chunk,
        source: `${source.packageName}/${file}`,
      })),
    );
  } catch (error) {
    throw new TrainerError('BAD_INPUT', missing.replace('is not', 'is not completely'), {}, { cause: error });
  }
}
