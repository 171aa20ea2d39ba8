import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrainerError } from '../errors.js';
import { NearDuplicates, signatureOf } from './dedup.js';
import type { Document, Split } from './document.js';
import { LARGE_SOURCES } from './large-sources.js';
import { type LongDocument, LongDocuments, longDocument } from './long-documents.js';
import type { Source } from './package-files.js';
import { DOMAINS, SOURCES } from './sources.js';
import { splitShare } from './split-share.js';
import { chunkText, cleanText } from './text.js';

/** Folder of the installed text sources. */
export const CORPUS_DIR = fileURLToPath(new URL('../../corpus', import.meta.url));

/** Sets of packages that the built-in domains are read from; `large` includes `standard`. */
export const CORPORA = ['standard', 'large'] as const;
export type Corpus = (typeof CORPORA)[number];

/** Folder of the packages that a corpus adds. */
export function corpusFolder(corpusDir: string, corpus: Corpus): string {
  return corpus === 'large' ? path.join(corpusDir, 'large') : corpusDir;
}

export interface SelectOptions {
  readonly maxBytes: number;
  /** Share of the documents that go to validation, 0 to 1. */
  readonly validationShare: number;
}

export interface DomainDocuments extends Readonly<Record<Split, readonly Document[]>> {
  /** Files that were read. */
  readonly files: number;
  /** Documents that were left out because they are near-duplicates of others. */
  readonly duplicates: number;
  readonly longest: LongDocument[];
}

/**
 * The documents of a built-in domain, deduplicated, capped and split (`selectDocuments`).
 *
 * @throws TrainerError `BAD_INPUT` for an unknown domain, or a source that is not installed
 */
export async function extractDomain(
  domain: string,
  options: SelectOptions & { readonly corpusDir: string; readonly corpus: Corpus },
): Promise<DomainDocuments> {
  const { corpusDir, corpus } = options;
  const documents: Document[] = [];
  const readAll = async (sources: readonly Source[], from: Corpus) => {
    for (const source of sources)
      for (const document of await readSource(domain, source, corpusDir, from)) documents.push(document);
  };
  await readAll(sourcesOf(domain), 'standard');
  if (corpus === 'large') await readAll(LARGE_SOURCES[domain] ?? [], 'large');
  return selectDocuments(documents, options);
}

/**
 * Deduplicates, caps and splits. A document is selected by its own hash, so a larger cap or share keeps what
 * a smaller one selected.
 */
export function selectDocuments(documents: Iterable<Document>, options: SelectOptions): DomainDocuments {
  const signed = Array.from(documents, (document) => ({ document, signature: signatureOf(document.text) }));
  const numShingles = signed.reduce((sum, { signature }) => sum + signature.shingles.length / 2, 0);
  const seen = new NearDuplicates(signed.length, numShingles);
  const hashed = signed
    .filter(({ signature }) => seen.isNew(signature))
    .map(({ document }) => ({ document, digest: createHash('sha256').update(document.text).digest('hex') }))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  let bytes = 0;
  const end = hashed.findIndex(({ document }) => {
    bytes += Buffer.byteLength(document.text);
    return bytes > options.maxBytes;
  });
  const selected = end < 0 ? hashed : hashed.slice(0, end);
  // The cap selects by the leading digits; the split must be independent of it.
  const draws = selected.map(({ digest }) => Number.parseInt(digest.slice(-8), 16) / 2 ** 32);
  const share = splitShare(draws, options.validationShare);
  const split: Record<Split, Document[]> = { train: [], validation: [] };
  selected.forEach(({ document }, i) => {
    split[draws[i]! < share ? 'validation' : 'train'].push(document);
  });
  const files = new Set(signed.map(({ document }) => document.source)).size;
  const longest = new LongDocuments();
  for (const { document } of signed) longest.add(longDocument(document.source, document.text, true));
  return { ...split, files, duplicates: signed.length - hashed.length, longest: longest.list() };
}

/** SHA-256 of the lock file that pins the sources. @throws TrainerError `BAD_INPUT` if it is missing */
export function corpusLockSha256(corpusDir: string): string {
  const lock = path.join(corpusDir, 'package-lock.json');
  if (!existsSync(lock))
    throw new TrainerError('BAD_INPUT', `no corpus in ${corpusDir}: package-lock.json is missing`);
  return createHash('sha256').update(readFileSync(lock)).digest('hex');
}

function sourcesOf(domain: string): readonly Source[] {
  const sources = Object.hasOwn(SOURCES, domain) ? SOURCES[domain] : undefined;
  if (!sources)
    throw new TrainerError(
      'BAD_INPUT',
      `data.domains: unknown domain "${domain}"; known domains are ${DOMAINS.join(', ')}`,
    );
  return sources;
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
    `${root}; run \`locmoe setup --corpus${corpus === 'large' ? ' large' : ''}\``;
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
