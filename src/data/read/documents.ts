import { bytesOf } from './bytes.js';
import { csvTexts } from './csv.js';
import { jsonLines } from './json-lines.js';
import { parquetTexts } from './parquet.js';
import { Decoder, type Reading, refusal, type Span } from './span.js';
import { textDocuments } from './text.js';
import { layoutOf, type TextSource } from './text-source.js';

/** How the files of a source are read. */
export type ReadOptions = Pick<TextSource, 'format' | 'field' | 'separator'>;

/**
 * Yields the documents of a span, in batches. A text file without separators is one document, which comes in pieces of
 * at most a megabyte.
 *
 * @throws TrainerError `BAD_INPUT` naming the file, and the line in formats that have lines
 */
export async function* readDocuments(
  span: Span,
  options: ReadOptions,
  reading: Reading,
): AsyncGenerator<string[]> {
  const { format, compression } = layoutOf(span.file, options);
  if (format === 'parquet') {
    if (compression !== null)
      throw refusal(
        span.file,
        'is a compressed Parquet file: decompress it, as Parquet compresses its own data',
      );
    yield* parquetTexts(span, options.field, reading);
    return;
  }
  const windows = bytesOf(span, compression, reading);
  if (format === 'jsonl') yield* jsonLines(windows, span, options.field, reading);
  else if (format === 'csv') yield* csvTexts(windows, span, options.field, reading);
  else {
    const separator = options.separator === undefined ? null : Buffer.from(options.separator);
    const decoder = new Decoder(span.file, reading);
    for await (const documents of textDocuments(windows, separator))
      yield documents.map((document) => decoder.decode(document));
    decoder.end();
  }
}
