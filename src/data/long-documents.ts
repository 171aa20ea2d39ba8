import { z } from 'zod';

/** The longest documents of a text, as they were before they were cut into pieces. */
export const longDocumentSchema = z.strictObject({
  /** The file it is in. */
  file: z.string(),
  /** UTF-8 bytes of its text. */
  bytes: z.number().int().min(0),
  /** How it begins, on one line. */
  start: z.string(),
  /** The file is one document; parts of it that were read apart belong together. */
  isFile: z.boolean(),
});

export type LongDocument = z.output<typeof longDocumentSchema>;

const MOST = 5;
const START_CHARS = 60;

export function longDocument(file: string, text: string, isFile: boolean): LongDocument {
  const start = text
    .slice(0, 2 * START_CHARS)
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, START_CHARS);
  return { file, bytes: Buffer.byteLength(text), start, isFile };
}

/** The longest of documents or of parts of them, longest first. */
export class LongDocuments {
  readonly #files = new Map<string, LongDocument>();
  #others: LongDocument[] = [];

  add(document: LongDocument): void {
    if (document.isFile) {
      const earlier = this.#files.get(document.file);
      this.#files.set(
        document.file,
        earlier ? { ...earlier, bytes: earlier.bytes + document.bytes } : document,
      );
    } else if (this.#others.length < MOST || document.bytes > this.#others[MOST - 1]!.bytes)
      this.#others = longest([...this.#others, document]);
  }

  list(): LongDocument[] {
    return longest([...this.#files.values(), ...this.#others]);
  }
}

function longest(documents: LongDocument[]): LongDocument[] {
  return documents.sort((a, b) => b.bytes - a.bytes).slice(0, MOST);
}
