import { splitShare } from '../split.js';
import { isSampled, NearDuplicates } from './dedup.js';
import type { DomainWriter } from './domain-writer.js';
import { readShardDocuments, readShardHead, readShardTokens, type ShardDocument } from './shard.js';

/** Maximum number of documents that later ones are compared with; they take 180 MB. */
const MAX_DOCUMENTS = 2 ** 25;
/** Maximum number of sampled shingles that later documents are compared with; they take 180 MB. */
const MAX_SHINGLES = 2 ** 26;
/** Digests are counted in this many buckets; only the bucket in which the cap falls is sorted. */
const NUM_BUCKETS = 2 ** 20;
const DIGESTS_PER_BUCKET = 2 ** 33;

export interface MergeOptions {
  readonly vocabSize: number;
  readonly maxBytes: number;
  readonly validationShare: number;
  /** Receives the documents. */
  readonly writer: DomainWriter;
}

/**
 * Merges shards in order: without near-duplicates, capped and split as in `selectDocuments`. Memory is
 * bounded: one shard, two tables for near-duplicates, and a byte for each document.
 *
 * @param shards paths, in the order of the text
 * @returns the number of near-duplicates
 */
export function mergeShards(shards: readonly string[], options: MergeOptions): number {
  const kept = newDocuments(shards);
  const last = lastDigest(shards, kept, options.maxBytes);
  const share = splitShare(drawsOf(shards, kept, last), options.validationShare);
  shards.forEach((shard, s) => {
    const tokens = readShardTokens(shard, options.vocabSize);
    let at = 0;
    let i = 0;
    for (const { numTokens, digest, draw, bytes } of readShardDocuments(shard)) {
      if (kept[s]![i++] === 1 && digest <= last)
        options.writer.add(draw < share ? 'validation' : 'train', bytes, tokens.subarray(at, at + numTokens));
      at += numTokens;
    }
  });
  return kept.reduce((sum, flags) => sum + flags.reduce((n, flag) => n + 1 - flag, 0), 0);
}

/** Returns for each document, by shard, 1 if it is not a near-duplicate of an earlier one, else 0. */
function newDocuments(shards: readonly string[]): Uint8Array[] {
  const heads = shards.map(readShardHead);
  // Shards that keep more shingles are thinned out to the sparsest sample.
  let sample = Math.max(...heads.map((head) => head.sample));
  let numShingles = heads.reduce((sum, head) => sum + (head.numShingles * head.sample) / sample, 0);
  for (; numShingles > MAX_SHINGLES; numShingles /= 2) sample *= 2;
  const numDocuments = heads.reduce((sum, head) => sum + head.numDocuments, 0);
  // The expected number, with a margin for chance.
  const seen = new NearDuplicates(
    Math.min(numDocuments, MAX_DOCUMENTS),
    Math.min(Math.ceil(1.1 * numShingles) + 1000, MAX_SHINGLES),
  );
  return shards.map((shard, s) => {
    const flags = new Uint8Array(heads[s]!.numDocuments);
    let i = 0;
    for (const { prefix, shingles } of readShardDocuments(shard)) {
      const thinned = heads[s]!.sample === sample ? shingles : thinOut(shingles, sample);
      flags[i++] = seen.isNew({ prefix, shingles: thinned }) ? 1 : 0;
    }
    return flags;
  });
}

function thinOut(shingles: Uint32Array, sample: number): Uint32Array {
  const kept: number[] = [];
  for (let i = 0; i < shingles.length; i += 2)
    if (isSampled(shingles[i + 1]!, sample)) kept.push(shingles[i]!, shingles[i + 1]!);
  return Uint32Array.from(kept);
}

/** Returns the digest up to which the kept documents, in the order of digests, have at most `maxBytes` bytes. */
function lastDigest(shards: readonly string[], kept: readonly Uint8Array[], maxBytes: number): number {
  if (maxBytes === Number.POSITIVE_INFINITY) return maxBytes;
  const bucketOf = ({ digest }: ShardDocument) => Math.floor(digest / DIGESTS_PER_BUCKET);
  const bytesOf = new Float64Array(NUM_BUCKETS);
  for (const document of keptDocuments(shards, kept)) bytesOf[bucketOf(document)]! += document.bytes;
  let room = maxBytes;
  const cut = bytesOf.findIndex((bytes) => {
    if (bytes > room) return true;
    room -= bytes;
    return false;
  });
  if (cut < 0) return Number.POSITIVE_INFINITY;
  const inCut: { digest: number; bytes: number }[] = [];
  for (const document of keptDocuments(shards, kept))
    if (bucketOf(document) === cut) inCut.push({ digest: document.digest, bytes: document.bytes });
  inCut.sort((a, b) => a.digest - b.digest);
  let last = cut * DIGESTS_PER_BUCKET - 1;
  for (const { digest, bytes } of inCut) {
    room -= bytes;
    if (room < 0) break;
    last = digest;
  }
  return last;
}

function* drawsOf(shards: readonly string[], kept: readonly Uint8Array[], last: number): Generator<number> {
  for (const { digest, draw } of keptDocuments(shards, kept)) if (digest <= last) yield draw;
}

function* keptDocuments(shards: readonly string[], kept: readonly Uint8Array[]): Generator<ShardDocument> {
  for (const [s, shard] of shards.entries()) {
    let i = 0;
    for (const document of readShardDocuments(shard)) if (kept[s]![i++] === 1) yield document;
  }
}
