import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { bytesPerToken, type DatasetIndex, marksFile, tokenFile } from '../dataset.js';
import { SPLITS, type Split } from '../split.js';
import { MARK } from '../template.js';

const BUFFER_BYTES = 1 << 20;

type DomainEntry = DatasetIndex['domains'][number];
/** Fields of the index that describe a domain's text as it was read. */
export type ReadText = Pick<DomainEntry, 'files' | 'duplicates' | 'longest'>;

/** The files of one domain, and the entries of its splits in the index. */
export class DomainWriter {
  /** Occurrences of each token in the validation text, or in the answers of validation samples. */
  readonly frequencies: Float64Array;
  readonly #splits: Readonly<Record<Split, SplitFiles>>;

  /** @param hasMarks whether the domain has samples, whose tokens have marks */
  constructor(work: string, name: string, vocabSize: number, hasMarks: boolean) {
    this.frequencies = new Float64Array(vocabSize);
    const open = (split: Split): SplitFiles => ({
      tokens: new HashedFile(work, tokenFile(name, split)),
      marks: hasMarks ? new HashedFile(work, marksFile(name, split)) : null,
      entry: { documents: 0, bytes: 0, tokens: 0, ...(hasMarks && { answers: 0 }) },
    });
    this.#splits = { train: open('train'), validation: open('validation') };
  }

  /**
   * Appends a document.
   *
   * @param bytes UTF-8 bytes of its text
   * @param marks a `MARK` for each token of a sample
   */
  add(split: Split, bytes: number, ids: ArrayLike<number>, marks?: readonly number[]): void {
    const { tokens, marks: file, entry } = this.#splits[split];
    tokens.write(encodeTokens(ids, this.frequencies.length));
    entry.documents++;
    entry.bytes += bytes;
    entry.tokens += ids.length;
    if (marks !== undefined) {
      file!.write(Uint8Array.from(marks));
      entry.answers! += marks.filter((mark) => mark === MARK.answer).length;
    }
    if (split === 'train') return;
    for (let i = 0; i < ids.length; i++)
      if (marks === undefined || marks[i] === MARK.answer) this.frequencies[ids[i]!]!++;
  }

  get entries(): Readonly<Record<Split, DomainEntry[Split]>> {
    return { train: this.#splits.train.entry, validation: this.#splits.validation.entry };
  }

  /** @returns the index's entries for the files that were written */
  close(): DatasetIndex['files'] {
    const files = SPLITS.flatMap((split) => [
      this.#splits[split].tokens,
      this.#splits[split].marks ?? [],
    ]).flat();
    return Object.fromEntries(files.map((file) => [file.name, file.close()]));
  }
}

interface SplitFiles {
  readonly tokens: HashedFile;
  readonly marks: HashedFile | null;
  readonly entry: DomainEntry[Split];
}

/** Converts token ids to their stored form; ids already in that form are not copied. */
export function encodeTokens(ids: ArrayLike<number>, vocabSize: number): Uint8Array {
  const Tokens = bytesPerToken(vocabSize) === 2 ? Uint16Array : Uint32Array;
  const { buffer, byteOffset, byteLength } = ids instanceof Tokens ? ids : new Tokens(ids);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A file that is written from beginning to end and hashed at the same time. */
class HashedFile {
  readonly #fd: number;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #buffered = 0;
  #bytes = 0;

  constructor(
    folder: string,
    readonly name: string,
  ) {
    this.#fd = openSync(path.join(folder, name), 'w');
  }

  write(bytes: Uint8Array): void {
    if (this.#buffered + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) this.#put(bytes);
    else {
      this.#buffer.set(bytes, this.#buffered);
      this.#buffered += bytes.length;
    }
  }

  close(): DatasetIndex['files'][string] {
    try {
      this.#flush();
      fsyncSync(this.#fd);
    } finally {
      closeSync(this.#fd);
    }
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  #flush(): void {
    this.#put(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #put(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }
}
