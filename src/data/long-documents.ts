import { z } from 'zod';

/** The longest documents of a text, before they are cut into chunks. */
export const longDocumentSchema = z.strictObject({
  /** File of the document. */
  file: z.string(),
  /** UTF-8 bytes of the document's text. */
  bytes: z.number().int().min(0),
  /** Beginning of the document, on one line. */
  start: z.string(),
  /** Whether the file is one document, so that parts of it that are read separately belong together. */
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

/** Keeps the longest documents, longest first, joining documents that are read in parts. */
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
