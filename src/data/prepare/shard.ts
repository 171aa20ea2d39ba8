import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../../errors.js';
import { bytesPerToken } from '../dataset.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { signatureOf } from './dedup.js';
import { encodeTokens } from './domain-writer.js';

/** A shard has a head, records of all documents, their shingles in 32-bit words, then their tokens. */
const HEAD_WORDS = 4;
const RECORD_WORDS = 8;
const UNFINISHED = '.tmp-';
/** Age at which a temporary file is abandoned, far more than writing one takes. */
const UNFINISHED_MS = 600_000;

export interface ShardHead {
  readonly numDocuments: number;
  /** Sampled shingles of all documents. */
  readonly numShingles: number;
  readonly numTokens: number;
  /** One shingle in this many is kept. */
  readonly sample: number;
}

/** A chunk without its text: the facts that decide whether and in which split it is used, and its number of tokens. */
export interface ShardDocument {
  /** The first 53 bits of the chunk's SHA-256; a cap takes documents in this order. */
  readonly digest: number;
  /** The last 32 bits of the chunk's SHA-256 as a number from 0 to 1, which decides the split. */
  readonly draw: number;
  /** UTF-8 bytes of the chunk's text. */
  readonly bytes: number;
  /** Number of tokens, the end of text included. */
  readonly numTokens: number;
  readonly prefix: readonly [number, number];
  readonly shingles: Uint32Array;
}

/** Tokenizes chunks and writes them as a shard, which is complete or absent. */
export function writeShard(
  file: string,
  chunks: readonly string[],
  tokenizer: Tokenizer,
  sample: number,
): void {
  const records = new Words();
  const shingles = new Words();
  const tokens = new Words();
  for (const chunk of chunks) {
    const digest = createHash('sha256').update(chunk).digest();
    const { prefix, shingles: own } = signatureOf(chunk, sample);
    const ids = tokenizer.encode(chunk);
    records.append([digest.readUInt32BE(0), digest.readUInt32BE(4), digest.readUInt32BE(28)]);
    records.append([Buffer.byteLength(chunk), ids.length + 1, ...prefix, own.length / 2]);
    shingles.append(own);
    tokens.append(ids);
    tokens.append([tokenizer.endOfText]);
  }
  const head = Uint32Array.of(chunks.length, shingles.length / 2, tokens.length, sample);
  const words = [head, records.all(), shingles.all()].map(
    ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  );
  writeWhole(file, Buffer.concat([...words, encodeTokens(tokens.all(), tokenizer.vocabSize)]));
}

/** Writes a file under a temporary name and renames it, so that other processes never see an incomplete one. */
export function writeWhole(file: string, contents: string | Uint8Array): void {
  const work = `${file}${UNFINISHED}${randomUUID()}`;
  try {
    writeFileSync(work, contents, { flush: true });
    renameSync(work, file);
  } finally {
    rmSync(work, { force: true });
  }
}

/** Removes files that killed processes have left. */
export function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder).filter((each) => each.includes(UNFINISHED))) {
    const file = path.join(folder, name);
    const { mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    if (Date.now() - mtimeMs > UNFINISHED_MS) rmSync(file, { force: true });
  }
}

/** Returns the head of a complete shard; null if there is none, or if a power failure left only a part. */
export function headOfWhole(file: string, vocabSize: number): ShardHead | null {
  try {
    const head = readShardHead(file);
    const bytes = tokensBegin(head) + head.numTokens * bytesPerToken(vocabSize);
    return statSync(file).size === bytes ? head : null;
  } catch {
    return null;
  }
}

export function readShardHead(file: string): ShardHead {
  const head = new Uint32Array(readBytes(file, 0, 4 * HEAD_WORDS).buffer);
  return { numDocuments: head[0]!, numShingles: head[1]!, numTokens: head[2]!, sample: head[3]! };
}

export function* readShardDocuments(file: string): Generator<ShardDocument> {
  const { numDocuments, numShingles } = readShardHead(file);
  const numWords = RECORD_WORDS * numDocuments + 2 * numShingles;
  const words = new Uint32Array(readBytes(file, 4 * HEAD_WORDS, 4 * numWords).buffer);
  let shingle = RECORD_WORDS * numDocuments;
  for (let i = 0; i < numDocuments; i++) {
    const record = words.subarray(RECORD_WORDS * i, RECORD_WORDS * (i + 1));
    const next = shingle + 2 * record[7]!;
    yield {
      digest: record[0]! * 2 ** 21 + (record[1]! >>> 11),
      draw: record[2]! / 2 ** 32,
      bytes: record[3]!,
      numTokens: record[4]!,
      prefix: [record[5]!, record[6]!],
      shingles: words.subarray(shingle, next),
    };
    shingle = next;
  }
}

/** Returns the tokens of all documents. */
export function readShardTokens(file: string, vocabSize: number): Uint16Array | Uint32Array {
  const head = readShardHead(file);
  const size = bytesPerToken(vocabSize);
  const { buffer } = readBytes(file, tokensBegin(head), head.numTokens * size);
  return size === 2 ? new Uint16Array(buffer) : new Uint32Array(buffer);
}

function tokensBegin({ numDocuments, numShingles }: ShardHead): number {
  return 4 * (HEAD_WORDS + RECORD_WORDS * numDocuments + 2 * numShingles);
}

function readBytes(file: string, begin: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const fd = openSync(file, 'r');
  try {
    if (readSync(fd, bytes, 0, length, begin) < length)
      throw new TrainerError('BAD_INPUT', `${file} is damaged: remove it, and it will be made again`);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** A growing list of 32-bit words in one block of memory. */
class Words {
  #words = new Uint32Array(1 << 16);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(words: ArrayLike<number>): void {
    const length = this.#length + words.length;
    if (length > this.#words.length) {
      const larger = new Uint32Array(Math.max(length, 2 * this.#words.length));
      larger.set(this.all());
      this.#words = larger;
    }
    this.#words.set(words, this.#length);
    this.#length = length;
  }

  all(): Uint32Array {
    return this.#words.subarray(0, this.#length);
  }
}
