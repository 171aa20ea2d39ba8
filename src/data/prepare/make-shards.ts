import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { DeepReadonly } from '@locmoe/run-format';
import { z } from 'zod';
import { asFullDisk } from '../../os/make-folder.js';
import { digestFile, sha256 } from '../../sha256.js';
import { LongDocuments, longDocument, longDocumentSchema } from '../long-documents.js';
import { chunkText, cleanText } from '../read/chunks.js';
import { type ReadOptions, readDocuments } from '../read/documents.js';
import { readError, refusal, type Span } from '../read/span.js';
import { layoutOf } from '../read/text-source.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { Part } from './parts.js';
import { headOfWhole, writeShard, writeWhole } from './shard.js';

/** Part of the names of shards: increment it when reading, chunking or the form of a shard changes. */
const SHARD_VERSION = 2;
/** Text of one shard, in UTF-16 units. */
const SHARD_CHARS = 8 << 20;
const KEY = /^[0-9a-f]{32}$/;

/** Settings that all parts of a domain share. */
export interface ShardWork {
  /** Folder of shards, which other datasets may share. */
  readonly folder: string;
  readonly read: ReadOptions;
  /** One shingle in this many is kept; shards that keep more are also used. */
  readonly sample: number;
}

const partSchema = z.object({
  /** Names of files in the folder. */
  shards: z.array(z.string()),
  /** Files with bytes that are not UTF-8. */
  invalid: z.array(z.string()),
  longest: z.array(longDocumentSchema),
});
export type PartShards = DeepReadonly<z.output<typeof partSchema>>;

/**
 * Prepares a part unless an earlier preparation did: it is recognised by files, sizes and times, else by its contents.
 *
 * @param onBytes called with stored bytes that were prepared now, or were found to be prepared
 * @throws TrainerError `BAD_INPUT` naming the file that cannot be read, `NO_RESOURCE` if the disk is full
 */
export async function makeShards(
  part: Part,
  work: ShardWork,
  tokenizer: Tokenizer,
  onBytes: (bytes: number, wereDone: boolean) => void,
): Promise<PartShards> {
  const alias = path.join(work.folder, `${keyOf(work, tokenizer, part.spans)}.seen`);
  const known = stored(alias, (text) => KEY.exec(text)![0]);
  const seen = known ?? contentsOf(part, work, tokenizer);
  if (known === null) writeWhole(alias, seen);
  const record = path.join(work.folder, `${seen}.part`);
  const done = donePart(record, work, tokenizer);
  if (done !== null) {
    onBytes(part.bytes, true);
    return done;
  }
  try {
    const made = await readIntoShards(part, work, tokenizer, seen, onBytes);
    writeWhole(record, JSON.stringify(made));
    return made;
  } catch (error) {
    throw asFullDisk(error, path.dirname(work.folder));
  }
}

/** Returns the record of an earlier preparation; null if there is none, or a power failure truncated it. */
function stored<T>(file: string, parse: (text: string) => T): T | null {
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

function donePart(record: string, work: ShardWork, tokenizer: Tokenizer): PartShards | null {
  const part = stored(record, (text) => partSchema.parse(JSON.parse(text)));
  return part?.shards.every((name) => isUsable(path.join(work.folder, name), work, tokenizer)) ? part : null;
}

function isUsable(shard: string, { sample }: ShardWork, { vocabSize }: Tokenizer): boolean {
  const head = headOfWhole(shard, vocabSize);
  return head !== null && head.sample <= sample;
}

async function readIntoShards(
  part: Part,
  work: ShardWork,
  tokenizer: Tokenizer,
  name: string,
  onBytes: (bytes: number, wereDone: boolean) => void,
): Promise<PartShards> {
  const { folder, read, sample } = work;
  const shards: string[] = [];
  const invalid = new Set<string>();
  const longest = new LongDocuments();
  let chunks: string[] = [];
  let chars = 0;
  let bytes = 0;
  const flush = () => {
    const shard = `${name}-${shards.length}.shard`;
    const file = path.join(folder, shard);
    // An earlier attempt that was interrupted may have left the shard.
    const isDone = isUsable(file, work, tokenizer);
    if (!isDone) writeShard(file, chunks, tokenizer, sample);
    shards.push(shard);
    onBytes(bytes, isDone);
    chunks = [];
    chars = bytes = 0;
  };
  const reading = {
    onBytes: (more: number) => {
      bytes += more;
    },
    onInvalid: (file: string) => invalid.add(file),
  };
  for (const span of part.spans) {
    const isFile = layoutOf(span.file, read).format === 'text' && read.separator === undefined;
    for await (const documents of readDocuments(span, read, reading))
      for (const document of documents) {
        longest.add(longDocument(span.file, document, isFile));
        for (const chunk of chunkText(cleanText(document))) {
          chunks.push(chunk);
          chars += chunk.length;
        }
        if (chars >= SHARD_CHARS) flush();
      }
  }
  flush();
  return { shards, invalid: [...invalid], longest: longest.list() };
}

/** Returns the hash of `what`, which identifies a part's text, and of everything that decides how the text is read. */
function keyOf({ read }: ShardWork, tokenizer: Tokenizer, what: unknown): string {
  const { format, field, separator } = read;
  const decisive = { SHARD_VERSION, tokenizer: tokenizer.sha256, format, field, separator, what };
  return sha256(JSON.stringify(decisive)).slice(0, 32);
}

function contentsOf(part: Part, work: ShardWork, tokenizer: Tokenizer): string {
  const contents = part.spans.map((span) => ({ ...layoutOf(span.file, work.read), sha256: sha256Of(span) }));
  return keyOf(work, tokenizer, contents);
}

function sha256Of({ file, begin, end }: Span): string {
  try {
    const { bytes, sha256 } = digestFile(file, begin, end);
    if (bytes < end - begin) throw refusal(file, 'has become shorter; start again');
    return sha256;
  } catch (error) {
    throw readError(file, error);
  }
}
