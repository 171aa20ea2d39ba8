import { readFileSync } from 'node:fs';
import path from 'node:path';
import { TrainerError } from '../errors.js';
import type { Document } from './document.js';
import { listFiles } from './source-files.js';
import { chunkText, cleanText } from './text.js';
import type { TextFormat, TextSource } from './text-source.js';

const FORMAT_OF: Readonly<Record<string, TextFormat>> = { '.jsonl': 'jsonl', '.ndjson': 'jsonl' };

/** The documents of a user's files, in the order of their names, in chunks. */
export function* sourceDocuments(domain: string, source: TextSource): Generator<Document> {
  for (const { file } of listFiles(domain, source)) {
    const text = readFileSync(file, 'utf8');
    const format = source.format ?? FORMAT_OF[path.extname(file)] ?? 'text';
    for (const document of format === 'text' ? textsOf(text, source) : lineTexts(text, file, domain, source))
      for (const chunk of chunkText(cleanText(document))) yield { text: chunk, domain, source: file };
  }
}

function textsOf(text: string, { separator }: TextSource): string[] {
  return separator === undefined ? [text] : text.split(separator);
}

function* lineTexts(text: string, file: string, domain: string, { field }: TextSource): Generator<string> {
  let line = 0;
  for (const written of text.split('\n')) {
    line++;
    if (written.trim() === '') continue;
    const refusal = (what: string) =>
      new TrainerError('BAD_INPUT', `domain ${domain}: ${file}:${line}: ${what}`);
    let value: unknown;
    try {
      value = JSON.parse(written);
    } catch (error) {
      throw refusal(`is no JSON (${(error as Error).message})`);
    }
    const found: unknown =
      typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined;
    if (typeof found !== 'string') throw refusal(`has no text in field ${JSON.stringify(field)}`);
    yield found;
  }
}
