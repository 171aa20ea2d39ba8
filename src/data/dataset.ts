import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { TrainerError } from '../errors.js';
import { SPLITS, type Split } from './document.js';

/** Part of the cache key: increment it when extraction, splitting, tokenization or the files that are read change. */
export const FORMAT_VERSION = 1;
export const INDEX_FILE = 'index.json';
export const TOKENIZER_FILE = 'tokenizer.json';

const count = z.number().int().min(0);
const splitSchema = z.strictObject({ documents: count, bytes: count, tokens: count });
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const indexSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
  key: sha256,
  vocabSize: count,
  endOfText: count,
  domains: z.array(
    z.strictObject({
      name: z.string(),
      train: splitSchema,
      validation: splitSchema,
      validationEntropy: z.number(),
    }),
  ),
  validationEntropy: z.number(),
  files: z.record(z.string(), z.strictObject({ bytes: count, sha256 })),
});

export type DatasetIndex = z.output<typeof indexSchema>;

export interface TokenSplit {
  readonly documents: number;
  /** UTF-8 bytes of the text, for losses per byte. */
  readonly bytes: number;
  /** Every document followed by `endOfText`. */
  readonly ids: Uint16Array | Uint32Array;
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
}

/** Token ids are stored as little-endian integers of this many bytes. */
function bytesPerToken(vocabSize: number): 2 | 4 {
  return vocabSize <= 2 ** 16 ? 2 : 4;
}

export function tokenFile(domain: string, split: Split): string {
  return `${domain}.${split}.tokens`;
}

/**
 * Opens a prepared dataset; checks tokens and tokenizer against the sizes and hashes in its index.
 * @throws TrainerError `BAD_INPUT` if the folder is not a prepared dataset or a file is missing or damaged
 */
export function openDataset(dir: string): Dataset {
  const index = readIndex(dir);
  checkedFile(dir, index, TOKENIZER_FILE);
  const domains = index.domains.map(({ name, validationEntropy, ...splits }): DomainData => {
    const [train, validation] = SPLITS.map((split): TokenSplit => {
      const { documents, bytes, tokens } = splits[split];
      const ids = decodeTokens(checkedFile(dir, index, tokenFile(name, split)), index.vocabSize);
      if (ids.length !== tokens)
        throw damaged(dir, `${tokenFile(name, split)} has ${ids.length} tokens, not ${tokens}`);
      return { documents, bytes, ids };
    });
    return { name, train: train!, validation: validation!, validationEntropy };
  });
  return {
    dir,
    key: index.key,
    vocabSize: index.vocabSize,
    endOfText: index.endOfText,
    tokenizerFile: path.join(dir, TOKENIZER_FILE),
    tokenizerSha256: index.files[TOKENIZER_FILE]!.sha256,
    domains,
    validationEntropy: index.validationEntropy,
  };
}

export function encodeTokens(ids: readonly Uint32Array[], vocabSize: number): Buffer {
  const total = ids.reduce((sum, part) => sum + part.length, 0);
  const tokens = bytesPerToken(vocabSize) === 2 ? new Uint16Array(total) : new Uint32Array(total);
  let at = 0;
  for (const part of ids) {
    tokens.set(part, at);
    at += part.length;
  }
  return Buffer.from(tokens.buffer);
}

function decodeTokens(bytes: Buffer, vocabSize: number): Uint16Array | Uint32Array {
  // A copy, because a Buffer may not be aligned.
  const aligned = new Uint8Array(bytes).buffer;
  return bytesPerToken(vocabSize) === 2 ? new Uint16Array(aligned) : new Uint32Array(aligned);
}

function readIndex(dir: string): DatasetIndex {
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

function checkedFile(dir: string, index: DatasetIndex, file: string): Buffer {
  const expected = index.files[file];
  if (!expected) throw damaged(dir, `${INDEX_FILE} does not list ${file}`);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path.join(dir, file));
  } catch (error) {
    throw damaged(dir, `${file} cannot be read`, error);
  }
  if (bytes.length !== expected.bytes)
    throw damaged(dir, `${file} has ${bytes.length} bytes, not ${expected.bytes}`);
  if (createHash('sha256').update(bytes).digest('hex') !== expected.sha256)
    throw damaged(dir, `${file} does not have the contents it was written with (sha256 differs)`);
  return bytes;
}

function damaged(dir: string, what: string, cause?: unknown): TrainerError {
  return new TrainerError(
    'BAD_INPUT',
    `dataset ${dir} is damaged: ${what}; remove the folder and it will be prepared again`,
    {},
    { cause },
  );
}
