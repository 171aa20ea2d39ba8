import { chunkText, cleanText } from '../read/chunks.js';
import { readDocuments } from '../read/documents.js';
import type { SourceFile } from '../read/source-files.js';
import type { Reading } from '../read/span.js';
import { type TextSource, textBytes } from '../read/text-source.js';
import { SHINGLE_SAMPLE } from './dedup.js';
import type { ShardWork } from './make-shards.js';
import { type Part, partsOf } from './parts.js';
import { selectDocuments } from './select-documents.js';

/** Maximum size of the text from which a tokenizer is trained; of longer text, samples of this total size are used. */
export const TRAINING_BYTES = 16 << 20;
/** Number of places from which longer text is sampled. */
const MAX_PLACES = 64;
/** Larger texts keep a smaller share of their shingles, so that about this many are kept. */
const SHINGLES = 2 ** 26;

const NO_ONE: Reading = { onBytes: () => undefined, onInvalid: () => undefined };

/** A domain of a user's files. */
export interface OwnDomain {
  readonly name: string;
  readonly source: TextSource;
  readonly files: readonly SourceFile[];
  readonly parts: readonly Part[];
}

export function openDomain(name: string, source: TextSource, files: readonly SourceFile[]): OwnDomain {
  return { name, source, files, parts: [...partsOf(files, source)] };
}

/** Returns the settings that all parts of a domain share. */
export function shardWork({ source, files }: OwnDomain, folder: string): ShardWork {
  const { format, field, separator } = source;
  const chars = files.reduce((sum, file) => sum + textBytes(file, source), 0);
  let sample = SHINGLE_SAMPLE;
  while (chars / sample > SHINGLES) sample *= 2;
  const read = { format, field, ...(separator !== undefined && { separator }) };
  return { folder, read, sample };
}

export interface TrainingTexts {
  readonly texts: readonly string[];
  /** Number of documents read. */
  readonly documents: number;
  readonly duplicates: number;
}

/**
 * Returns the text from which a tokenizer is trained: the training documents of a small domain, else the beginnings of
 * evenly spaced parts; with the number of near-duplicates that were left out. It has about `TRAINING_BYTES`, however
 * large compressed files are when they are unpacked.
 *
 * @param numDomains number of user domains that share `TRAINING_BYTES`
 */
export async function trainingTexts(
  { name, source, parts }: OwnDomain,
  {
    maxBytes,
    validationShare,
    numDomains,
  }: { maxBytes: number; validationShare: number; numDomains: number },
): Promise<TrainingTexts> {
  const limit = TRAINING_BYTES / numDomains;
  const spans = parts.flatMap((part) => part.spans);
  const total = spans.reduce(
    (sum, { file, begin, end }) => sum + textBytes({ file, bytes: end - begin }, source),
    0,
  );
  const isSmall = total <= limit;
  const numPlaces = isSmall ? parts.length : Math.min(parts.length, MAX_PLACES);
  const documents: { text: string; source: string }[] = [];
  let left = limit;
  for (let place = 0; place < numPlaces && left > 0; place++) {
    const part = parts[Math.floor((place * parts.length) / numPlaces)]!;
    let room = isSmall ? left : limit / numPlaces;
    for await (const text of textsOf(part, source)) {
      documents.push({ text, source: name });
      const bytes = Buffer.byteLength(text);
      left -= bytes;
      room -= bytes;
      if (room <= 0) break;
    }
  }
  const { train, duplicates } = selectDocuments(documents, { maxBytes, validationShare });
  return { texts: train.map(({ text }) => text), documents: documents.length, duplicates };
}

/** Yields the chunks of a part. */
async function* textsOf(part: Part, source: TextSource): AsyncGenerator<string> {
  for (const span of part.spans)
    for await (const documents of readDocuments(span, source, NO_ONE))
      for (const document of documents) yield* chunkText(cleanText(document));
}
