import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { Decoder, MAX_RECORD_BYTES, type Reading, refusal, type Span } from './span.js';

/** Number of documents yielded together. */
const BATCH = 256;

/**
 * Yields the text in one column of a CSV file with a header; .tsv files are separated by tabs.
 *
 * @throws TrainerError `BAD_INPUT` with file and line of invalid CSV, or naming the columns if the requested one does not exist
 */
export async function* csvTexts(
  windows: AsyncIterable<Buffer>,
  { file }: Span,
  column: string,
  reading: Reading,
): AsyncGenerator<string[]> {
  const delimiter = /\.tsv(?:\.\w+)?$/.test(file) ? '\t' : ',';
  let lastLine = 1;
  const parser = parse({
    columns: (header: string[]) => {
      if (header.includes(column)) return header;
      const other = header.length === 1 ? /[;,|\t]/.exec(header[0]!)?.[0] : undefined;
      const hint = other === undefined ? '' : `; it is separated by ${JSON.stringify(other)}, not by `;
      throw refusal(
        `${file}:1`,
        `has no column ${JSON.stringify(column)} (columns: ${header.join(', ')})` +
          (hint && hint + JSON.stringify(delimiter)),
      );
    },
    bom: true,
    skip_empty_lines: true,
    max_record_size: MAX_RECORD_BYTES,
    delimiter,
    on_record: (record, { lines }) => {
      lastLine = lines;
      return record;
    },
  });
  const input = Readable.from(decoded(windows, file, reading));
  input.on('error', (error) => parser.destroy(error));
  let batch: string[] = [];
  try {
    for await (const record of input.pipe(parser)) {
      batch.push((record as Record<string, string>)[column]!);
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
  } catch (error) {
    // The parser notices this only at the end of the file.
    if (error instanceof CsvError && error.code === 'CSV_QUOTE_NOT_CLOSED')
      throw refusal(file, `is no CSV: a quote in the record after line ${lastLine} is not closed`, error);
    if (error instanceof CsvError)
      throw refusal(`${file}:${Reflect.get(error, 'lines') ?? 1}`, `is no CSV (${error.message})`, error);
    throw error;
  } finally {
    input.destroy();
  }
  yield batch;
}

async function* decoded(
  windows: AsyncIterable<Buffer>,
  file: string,
  reading: Reading,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const counter = new Decoder(file, reading);
  for await (const window of windows) {
    const text = decoder.decode(window, { stream: true });
    counter.count(text, !text.includes('\ufffd'));
    yield text;
  }
  counter.end();
  yield decoder.decode();
}
