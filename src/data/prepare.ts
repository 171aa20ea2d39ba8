import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';
import { makeFolder } from '../os/make-folder.js';
import { machineIdentity, processIdentity } from '../os/process-info.js';
import { tokenizerJson, trainBpe } from './bpe-trainer.js';
import { corpusLockSha256, type DomainDocuments, extractDomain, selectDocuments } from './corpora.js';
import {
  type Dataset,
  type DatasetIndex,
  encodeTokens,
  FORMAT_VERSION,
  INDEX_FILE,
  openDataset,
  TOKENIZER_FILE,
  tokenFile,
} from './dataset.js';
import { SPLITS, type Split } from './document.js';
import { sourceDocuments } from './source-documents.js';
import { listFiles } from './source-files.js';
import type { TextSource } from './text-source.js';
import { loadTokenizer, type Tokenizer } from './tokenizer.js';
import { readTokenizerFile } from './tokenizer-file.js';

export interface PrepareOptions {
  /** Folder of prepared datasets, each in a folder named by its key. */
  readonly dataDir: string;
  readonly corpusDir: string;
  /** Their order determines the domain ids. */
  readonly domains: readonly string[];
  /** The files of each domain that is not built in, with absolute folders. */
  readonly sources: Readonly<Record<string, TextSource>>;
  /** Null: 2,000,000 bytes of a built-in domain, and all of a user's own text. */
  readonly maxBytesPerDomain: number | null;
  readonly validationShare: number;
  readonly vocabSize: number;
  /** `train`, or a tokenizer.json that has `vocabSize` ids. */
  readonly tokenizer: string;
  /** Name of the token that ends a document; null for one of the usual names. */
  readonly endOfText: string | null;
  readonly log: (line: string) => void;
}

/** Of a built-in domain, where nothing else is asked for. */
const BUILT_IN_BYTES = 2_000_000;
/** Older unfinished folders are abandoned: no preparation takes this long. */
const ABANDONED_MS = 3_600_000;
/** Name of an unfinished folder (`workFolder`), with machine and process of the writer. */
const UNFINISHED = /^[0-9a-f]{16}\.tmp-(?:([0-9a-f]{16})-(\d+)-)?/;

/**
 * Extracts, splits and tokenizes the corpus, or opens what an equal earlier call prepared. Without a file the
 * tokenizer is trained on the training text of the given domains. The first call blocks for several seconds.
 *
 * A dataset is written to a temporary folder and renamed, so it is complete or absent; of several processes
 * that prepare the same one, the first to finish wins and the others use its result.
 *
 * @param work the temporary folder
 * @throws TrainerError `BAD_INPUT` if a source is missing, a domain is unknown or repeated, the text is too
 *   small for the vocabulary, or the prepared dataset is damaged
 */
export function prepareDataset(options: PrepareOptions, work = workFolder(options)): Dataset {
  const { dataDir, domains, log } = options;
  const dir = datasetFolder(options);
  if (existsSync(dir)) return openDataset(dir);
  makeFolder(dataDir, '--data-dir');
  removeAbandoned(dataDir);
  const started = performance.now();
  log(`data: preparing ${domains.join(', ')} (once for this configuration)`);
  makeFolder(work, '--data-dir');
  try {
    writeDataset(work, keyOf(options), options);
    publish(work, dir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const dataset = openDataset(dir);
  log(`data: ${summary(dataset)} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return dataset;
}

/** Folder of the prepared dataset. */
export function datasetFolder(options: PrepareOptions): string {
  const { dataDir, domains } = options;
  if (new Set(domains).size !== domains.length)
    throw new TrainerError('BAD_INPUT', `data.domains: a domain is listed twice in ${domains.join(', ')}`);
  return path.join(dataDir, keyOf(options).slice(0, 16));
}

/** A temporary folder of this process beside the final one. */
export function workFolder(options: PrepareOptions): string {
  return `${datasetFolder(options)}.tmp-${machineMark()}-${process.pid}-${randomUUID()}`;
}

/** Identifies the machine in a file's name. */
function machineMark(): string {
  return sha256Of(machineIdentity()).slice(0, 16);
}

function keyOf({
  corpusDir,
  domains,
  sources,
  maxBytesPerDomain,
  validationShare,
  vocabSize,
  tokenizer,
  endOfText,
}: PrepareOptions): string {
  const own = domains.flatMap((domain) => {
    const source = sources[domain];
    return source === undefined ? [] : [{ domain, ...source, files: listFiles(domain, source) }];
  });
  const decisive = {
    FORMAT_VERSION,
    corpus: corpusLockSha256(corpusDir),
    domains,
    ...(own.length > 0 && { own }),
    maxBytesPerDomain:
      own.length === domains.length ? maxBytesPerDomain : (maxBytesPerDomain ?? BUILT_IN_BYTES),
    validationShare,
    vocabSize,
    ...(tokenizer !== 'train' && { tokenizer: sha256Of(readTokenizerFile(tokenizer)), endOfText }),
  };
  return sha256Of(JSON.stringify(decisive));
}

function sha256Of(contents: string | Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}

function writeDataset(dir: string, key: string, options: PrepareOptions): void {
  const files: DatasetIndex['files'] = {};
  const write = (file: string, bytes: Buffer): void => {
    writeFileSync(path.join(dir, file), bytes, { flush: true });
    files[file] = { bytes: bytes.length, sha256: sha256Of(bytes) };
  };
  const { domains, vocabSize } = options;
  const documents = domains.map((domain) => documentsOf(domain, options));
  write(TOKENIZER_FILE, tokenizerBytes(documents, options));
  const tokenizer = loadTokenizer(path.join(dir, TOKENIZER_FILE), options.endOfText);
  if (tokenizer.vocabSize !== vocabSize)
    throw new TrainerError(
      'BAD_INPUT',
      `model.vocabSize: ${vocabSize} is not the ${tokenizer.vocabSize} of ${options.tokenizer}`,
    );
  const all = new Float64Array(vocabSize);
  const entries = domains.map((name, i) => {
    const { frequencies, ...entry } = writeDomain(name, documents[i]!, tokenizer, write);
    for (let id = 0; id < vocabSize; id++) all[id]! += frequencies[id]!;
    return { name, ...entry };
  });
  const index: DatasetIndex = {
    formatVersion: FORMAT_VERSION,
    key,
    vocabSize,
    endOfText: tokenizer.endOfText,
    domains: entries,
    validationEntropy: entropyOf(all),
    files,
  };
  writeFileSync(path.join(dir, INDEX_FILE), JSON.stringify(index, null, 2), { flush: true });
}

function tokenizerBytes(
  documents: readonly DomainDocuments[],
  { tokenizer, vocabSize }: PrepareOptions,
): Buffer {
  if (tokenizer !== 'train') return readTokenizerFile(tokenizer);
  const trainingTexts = documents.flatMap(({ train }) => train.map(({ text }) => text));
  return Buffer.from(tokenizerJson(trainBpe(trainingTexts, vocabSize)));
}

function documentsOf(
  domain: string,
  { sources, corpusDir, maxBytesPerDomain, validationShare }: PrepareOptions,
): DomainDocuments {
  const source = sources[domain];
  return source === undefined
    ? extractDomain(domain, { corpusDir, maxBytes: maxBytesPerDomain ?? BUILT_IN_BYTES, validationShare })
    : selectDocuments(sourceDocuments(domain, source), {
        maxBytes: maxBytesPerDomain ?? Number.POSITIVE_INFINITY,
        validationShare,
      });
}

type DomainEntry = Omit<DatasetIndex['domains'][number], 'name'>;

/** Writes the tokens of a domain; also returns token frequencies of the validation part. */
function writeDomain(
  name: string,
  documents: DomainDocuments,
  tokenizer: Tokenizer,
  write: (file: string, bytes: Buffer) => void,
): DomainEntry & { frequencies: Float64Array } {
  const frequencies = new Float64Array(tokenizer.vocabSize);
  const splitEntry = (split: Split): DomainEntry[Split] => {
    const ids = documents[split].map(({ text }) => withEnd(tokenizer.encode(text), tokenizer.endOfText));
    write(tokenFile(name, split), encodeTokens(ids, tokenizer.vocabSize));
    if (split === 'validation') for (const part of ids) for (const id of part) frequencies[id]!++;
    return {
      documents: documents[split].length,
      bytes: documents[split].reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
      tokens: ids.reduce((sum, part) => sum + part.length, 0),
    };
  };
  const [train, validation] = SPLITS.map(splitEntry);
  return { train: train!, validation: validation!, validationEntropy: entropyOf(frequencies), frequencies };
}

function withEnd(ids: Uint32Array, endOfText: number): Uint32Array {
  const ended = new Uint32Array(ids.length + 1);
  ended.set(ids);
  ended[ids.length] = endOfText;
  return ended;
}

/** Shannon entropy, in nats, of the distribution with these frequencies; 0 if there are none. */
function entropyOf(frequencies: Float64Array): number {
  const total = frequencies.reduce((a, b) => a + b, 0);
  return frequencies.reduce((sum, n) => (n > 0 ? sum - (n / total) * Math.log(n / total) : sum), 0);
}

function publish(work: string, dir: string): void {
  try {
    renameSync(work, dir);
  } catch (error) {
    // Renaming onto a folder that is not empty fails: another process has finished first, with the same
    // contents.
    if (!existsSync(path.join(dir, INDEX_FILE))) throw error;
  }
}

function removeAbandoned(dataDir: string): void {
  for (const name of readdirSync(dataDir)) {
    const folder = path.join(dataDir, name);
    const owner = UNFINISHED.exec(name);
    if (owner === null) continue;
    const [, machine, pid] = owner;
    // Process ids of other machines mean nothing here.
    const isDead = machine === machineMark() && processIdentity(Number(pid)) === '';
    const { mtimeMs } = statSync(folder, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    if (isDead || Date.now() - mtimeMs > ABANDONED_MS) rmSync(folder, { recursive: true, force: true });
  }
}

function summary({ domains }: Dataset): string {
  const parts = domains.map(({ name, train }) => `${name} ${(train.ids.length / 1000).toFixed(0)}k`);
  return `tokens for training: ${parts.join(', ')}`;
}
