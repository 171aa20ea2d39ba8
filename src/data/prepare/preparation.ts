import { createHash } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../../errors.js';
import { makePrivate } from '../../os/make-folder.js';
import { isAbandoned, workMark } from '../../os/work-folder.js';
import { sha256 } from '../../sha256.js';
import { corpusFolder, corpusLockSha256 } from '../built-in/corpora.js';
import type { Corpus } from '../built-in/sources.js';
import { type Dataset, FORMAT_VERSION, INDEX_FILE, openDataset } from '../dataset.js';
import { listFiles, type SourceFile } from '../read/source-files.js';
import type { TextSource } from '../read/text-source.js';
import { readTokenizerFile } from '../tokenizer/tokenizer-file.js';

export interface DataOptions {
  /** Folder of prepared datasets, each in a folder named by its key. */
  readonly dataDir: string;
  readonly corpusDir: string;
  readonly corpus: Corpus;
  /** Names of the domains, whose order determines the domain ids. */
  readonly domains: readonly string[];
  /** The files of each domain that is not built in, with absolute folders. */
  readonly sources: Readonly<Record<string, TextSource>>;
  /** Null for 2,000,000 bytes of a built-in domain of the standard corpus, and otherwise for no limit. */
  readonly maxBytesPerDomain: number | null;
  readonly validationShare: number;
  readonly vocabSize: number;
  /** `train`, or the path of a tokenizer.json that has `vocabSize` ids. */
  readonly tokenizer: string;
  /** Name of the token that ends a document; null for one of the usual names. */
  readonly endOfText: string | null;
}

/** The dataset that the options describe, and its location. */
export interface Preparation {
  /** Hash of everything that determines the contents; of a user's files, it covers names, sizes and times. */
  readonly key: string;
  /** Folder of the dataset, whether or not it exists yet. */
  readonly dir: string;
  /** A temporary folder of this process in the same parent folder. */
  readonly work: string;
  /** Files by domain, for domains that are not built in. */
  readonly files: Readonly<Record<string, readonly SourceFile[]>>;
  /** Files used only for validation, by domain of questions and answers. */
  readonly heldOut: Readonly<Record<string, readonly SourceFile[]>>;
}

/** Default limit of a built-in domain of the standard corpus. */
const BUILT_IN_BYTES = 2_000_000;
/** Folders that were not touched for this long are abandoned. */
const ABANDONED_MS = 3_600_000;
/** Matches the name of a temporary folder, which has the mark of its writer. */
const UNFINISHED = /^[0-9a-f]{16}\.tmp-(.*)/;

/**
 * Finds the files that the options name.
 *
 * @throws TrainerError `BAD_INPUT` if a domain is repeated, a file or the corpus is missing
 */
export function planPreparation(options: DataOptions): Preparation {
  const { dataDir, domains, sources } = options;
  if (new Set(domains).size !== domains.length)
    throw new TrainerError('BAD_INPUT', `data.domains: a domain is listed twice in ${domains.join(', ')}`);
  const files: Record<string, readonly SourceFile[]> = {};
  const heldOut: Record<string, readonly SourceFile[]> = {};
  for (const domain of domains.filter((domain) => Object.hasOwn(sources, domain))) {
    const source = sources[domain]!;
    const held = source.instruct?.validation ?? null;
    files[domain] = listFiles(domain, source);
    heldOut[domain] = held === null ? [] : listFiles(domain, { ...source, files: held });
  }
  const key = keyOf(options, { files, heldOut });
  const dir = path.join(dataDir, key.slice(0, 16));
  return { key, dir, work: `${dir}.tmp-${workMark()}`, files, heldOut };
}

/** Returns the limit on the bytes of a domain. */
export function maxBytesOf(
  domain: string,
  { sources, corpus, maxBytesPerDomain }: Pick<DataOptions, 'sources' | 'corpus' | 'maxBytesPerDomain'>,
): number {
  const isCapped = corpus === 'standard' && !Object.hasOwn(sources, domain);
  return maxBytesPerDomain ?? (isCapped ? BUILT_IN_BYTES : Number.POSITIVE_INFINITY);
}

function keyOf(options: DataOptions, { files, heldOut }: Pick<Preparation, 'files' | 'heldOut'>): string {
  const { corpusDir, corpus, domains, sources, validationShare, vocabSize, tokenizer, endOfText } = options;
  const hash = createHash('sha256');
  const add = (decisive: unknown) => hash.update(`${JSON.stringify(decisive)}\n`);
  add({ FORMAT_VERSION, validationShare, vocabSize });
  if (domains.some((domain) => !Object.hasOwn(sources, domain))) {
    add(corpusLockSha256(corpusDir));
    if (corpus === 'large') add(corpusLockSha256(corpusFolder(corpusDir, corpus)));
  }
  if (tokenizer !== 'train') add({ tokenizer: sha256(readTokenizerFile(tokenizer)), endOfText });
  for (const domain of domains) {
    add({ domain, maxBytes: maxBytesOf(domain, options), source: sources[domain] });
    for (const file of files[domain] ?? []) add(file);
    for (const file of heldOut[domain] ?? []) add({ heldOut: file });
  }
  return hash.digest('hex');
}

export function hasOwnText({ domains, sources }: Pick<DataOptions, 'domains' | 'sources'>): boolean {
  return domains.some((domain) => Object.hasOwn(sources, domain));
}

/** Opens a prepared dataset; one with a user's own text is made private, as earlier versions may have not done so. */
export function openPrepared({ dir }: Preparation, options: DataOptions, isNew: boolean): Dataset {
  if (hasOwnText(options)) makePrivate(dir);
  return openDataset(dir, { verify: !isNew });
}

/** Gives the temporary folder its name. */
export function publish({ work, dir }: Preparation): void {
  try {
    renameSync(work, dir);
  } catch (error) {
    // Renaming onto a folder that is not empty fails: another process has finished first, with the same contents.
    if (!existsSync(path.join(dir, INDEX_FILE))) throw error;
  }
}

/** Removes temporary folders whose writers are dead. */
export function removeAbandoned(dataDir: string): void {
  for (const name of readdirSync(dataDir)) {
    const folder = path.join(dataDir, name);
    const mark = UNFINISHED.exec(name)?.[1];
    if (mark === undefined) continue;
    const { mtimeMs } = statSync(folder, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    if (isAbandoned(mark) || Date.now() - mtimeMs > ABANDONED_MS)
      rmSync(folder, { recursive: true, force: true });
  }
}
