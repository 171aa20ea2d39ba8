import { sha256 } from '../../sha256.js';
import { type LongDocument, LongDocuments, longDocument } from '../long-documents.js';
import { type Document, type Split, splitShare } from '../split.js';
import { NearDuplicates, signatureOf } from './dedup.js';

export interface SelectOptions {
  readonly maxBytes: number;
  /** Share of the documents that go to validation, 0 to 1. */
  readonly validationShare: number;
}

export interface DomainDocuments extends Readonly<Record<Split, readonly Document[]>> {
  /** Number of files that were read. */
  readonly files: number;
  /** Documents that were left out because they are near-duplicates of others. */
  readonly duplicates: number;
  readonly longest: LongDocument[];
}

/**
 * Deduplicates, caps and splits. A document is selected by its own hash, so that a larger cap or share keeps
 * what a smaller one selects.
 */
export function selectDocuments(documents: Iterable<Document>, options: SelectOptions): DomainDocuments {
  const signed = Array.from(documents, (document) => ({ document, signature: signatureOf(document.text) }));
  const numShingles = signed.reduce((sum, { signature }) => sum + signature.shingles.length / 2, 0);
  const seen = new NearDuplicates(signed.length, numShingles);
  const hashed = signed
    .filter(({ signature }) => seen.isNew(signature))
    .map(({ document }) => ({ document, digest: sha256(document.text) }))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  let bytes = 0;
  const end = hashed.findIndex(({ document }) => {
    bytes += Buffer.byteLength(document.text);
    return bytes > options.maxBytes;
  });
  const selected = end < 0 ? hashed : hashed.slice(0, end);
  // The cap orders by the leading digits, so the split uses other digits to be independent of the cap.
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
