import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { digestFile } from '../sha256.js';
import { longDocumentSchema } from './long-documents.js';
import { SPLITS, type Split } from './split.js';

/** Part of the cache key: increment it when extraction, splitting, tokenization or the files that are read change. */
export const FORMAT_VERSION = 4;
export const INDEX_FILE = 'index.json';
export const TOKENIZER_FILE = 'tokenizer.json';

const count = z.number().int().min(0);
const splitSchema = z.strictObject({
  documents: count,
  bytes: count,
  tokens: count,
  /** Tokens of answers, with their ends; only for question-answer samples. */
  answers: count.optional(),
});
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const indexSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  key: sha256,
  vocabSize: count,
  endOfText: count,
  domains: z.array(
    z.strictObject({
      name: z.string(),
      /** Number of files that were read. */
      files: count,
      /** Documents that were left out because they are near-duplicates of others. */
      duplicates: count,
      /** The longest documents as they were read. */
      longest: z.array(longDocumentSchema),
      train: splitSchema,
      validation: splitSchema,
      validationEntropy: z.number(),
    }),
  ),
  validationEntropy: z.number(),
  files: z.record(z.string(), z.strictObject({ bytes: count, sha256 })),
});

export type DatasetIndex = z.output<typeof indexSchema>;
type StoredSplit = DatasetIndex['domains'][number][Split];

export interface TokenSplit {
  readonly documents: number;
  /** UTF-8 bytes of the text, for losses per byte. */
  readonly bytes: number;
  /** The tokens of all documents, each document followed by `endOfText`; for samples see `marks`. */
  readonly ids: TokenIds;
  /** A `MARK` of each token of question-answer samples; null for text. */
  readonly marks: Uint8Array | null;
}

/** Token ids that may be on disk, so that every call of `slice` reads; a typed array also has this type. */
export interface TokenIds {
  readonly length: number;
  slice(first: number, end: number): Uint16Array | Uint32Array;
}

export interface DomainData {
  readonly name: string;
  readonly train: TokenSplit;
  readonly validation: TokenSplit;
  /** Unigram entropy of the validation tokens, nats per token: the loss of the best model without context. */
  readonly validationEntropy: number;
}

/** A prepared corpus. The position of a domain is its id. */
export interface Dataset {
  readonly dir: string;
  /** Hash of everything that determines the contents. */
  readonly key: string;
  readonly vocabSize: number;
  readonly endOfText: number;
  readonly tokenizerFile: string;
  readonly tokenizerSha256: string;
  readonly domains: readonly DomainData[];
  /** Unigram entropy of the validation tokens of all domains, nats per token. */
  readonly validationEntropy: number;
  /** Closes the files of token ids, two per domain, whose ids cannot be read afterwards. */
  close(): void;
}

/** Returns the number of training tokens of all domains, without near-duplicates. */
export function tokensToTrainOn({ domains }: Pick<Dataset, 'domains'>): number {
  return domains.reduce((sum, { train }) => sum + train.ids.length, 0);
}

/** Returns the size of a stored token id, a little-endian integer. */
export function bytesPerToken(vocabSize: number): 2 | 4 {
  return vocabSize <= 2 ** 16 ? 2 : 4;
}

export function tokenFile(domain: string, split: Split): string {
  return `${domain}.${split}.tokens`;
}

/** Returns the name of the file with the marks of question-answer samples, one byte per token. */
export function marksFile(domain: string, split: Split): string {
  return `${domain}.${split}.marks`;
}

/**
 * Opens a prepared dataset. Token ids stay on disk, where all ranks of a node share them in the page cache.
 *
 * @param verify checks the hash of every file besides its size; one process per node is enough
 * @throws TrainerError `BAD_INPUT` if the folder is not a prepared dataset or a file is missing or damaged
 */
export function openDataset(dir: string, { verify = true } = {}): Dataset {
  const index = readIndex(dir);
  for (const file of [
    TOKENIZER_FILE,
    ...index.domains.flatMap((domain) =>
      SPLITS.flatMap((split) => [
        tokenFile(domain.name, split),
        ...(domain[split].answers === undefined ? [] : [marksFile(domain.name, split)]),
      ]),
    ),
  ])
    checkFile(dir, index, file, verify);
  const descriptors: number[] = [];
  const close = () => {
    for (const fd of descriptors.splice(0)) closeSync(fd);
  };
  const splitOf = (
    name: string,
    split: Split,
    { documents, bytes, tokens, answers }: StoredSplit,
  ): TokenSplit => {
    const file = path.join(dir, tokenFile(name, split));
    const fd = openSync(file, 'r');
    descriptors.push(fd);
    const ids = storedIds(fd, file, index.vocabSize);
    if (ids.length !== tokens)
      throw damaged(dir, `${tokenFile(name, split)} has ${ids.length} tokens, not ${tokens}`);
    const marks = answers === undefined ? null : readFileSync(path.join(dir, marksFile(name, split)));
    if (marks !== null && marks.length !== tokens)
      throw damaged(dir, `${marksFile(name, split)} has ${marks.length} marks for ${tokens} tokens`);
    return { documents, bytes, ids, marks };
  };
  let domains: readonly DomainData[];
  try {
    domains = index.domains.map(({ name, validationEntropy, train, validation }) => ({
      name,
      train: splitOf(name, 'train', train),
      validation: splitOf(name, 'validation', validation),
      validationEntropy,
    }));
  } catch (error) {
    close();
    throw error;
  }
  return {
    dir,
    key: index.key,
    vocabSize: index.vocabSize,
    endOfText: index.endOfText,
    tokenizerFile: path.join(dir, TOKENIZER_FILE),
    tokenizerSha256: index.files[TOKENIZER_FILE]!.sha256,
    domains,
    validationEntropy: index.validationEntropy,
    close,
  };
}

/** Returns the token ids in an open file. */
function storedIds(fd: number, file: string, vocabSize: number): TokenIds {
  const size = bytesPerToken(vocabSize);
  const length = fstatSync(fd).size / size;
  return {
    length,
    slice(first, end) {
      const bytes = new Uint8Array((Math.min(end, length) - first) * size);
      if (readSync(fd, bytes, 0, bytes.length, first * size) < bytes.length)
        throw new TrainerError('BAD_INPUT', `dataset file ${file} was cut short while it was in use`);
      return size === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
    },
  };
}

/** @throws TrainerError `BAD_INPUT` if the folder has no valid index */
export function readIndex(dir: string): DatasetIndex {
  let text: string;
  try {
    text = readFileSync(path.join(dir, INDEX_FILE), 'utf8');
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `${dir} is not a prepared dataset: it has no ` +
        `${INDEX_FILE}${existsSync(dir) ? '; remove the folder and it will be prepared again' : ''}`,
      {},
      { cause: error },
    );
  }
  try {
    return indexSchema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(dir, `${INDEX_FILE} is not a dataset index of format ${FORMAT_VERSION}`, error);
  }
}

function checkFile(dir: string, index: DatasetIndex, file: string, verify: boolean): void {
  const expected = index.files[file];
  if (!expected) throw damaged(dir, `${INDEX_FILE} does not list ${file}`);
  let bytes: number;
  let sha256 = expected.sha256;
  try {
    bytes = statSync(path.join(dir, file)).size;
    if (verify && bytes === expected.bytes) sha256 = digestFile(path.join(dir, file)).sha256;
  } catch (error) {
    throw damaged(dir, `${file} cannot be read`, error);
  }
  if (bytes !== expected.bytes) throw damaged(dir, `${file} has ${bytes} bytes, not ${expected.bytes}`);
  if (sha256 !== expected.sha256)
    throw damaged(dir, `${file} does not have the contents it was written with (sha256 differs)`);
}

function damaged(dir: string, what: string, cause?: unknown): TrainerError {
  return new TrainerError(
    'BAD_INPUT',
    `dataset ${dir} is damaged: ${what}; remove the folder and it will be prepared again`,
    {},
    { cause },
  );
}
