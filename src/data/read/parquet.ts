import { asyncBufferFromFile, type Compressors, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { type Reading, readError, refusal, type Span } from './span.js';

/** A whole row group is decoded in memory. */
const MAX_GROUP_BYTES = 1 << 30;
/** A run of equal values takes some ten bytes in the file, but memory for each of the values. */
const MAX_GROUP_ROWS = 1 << 22;

/**
 * Yields the text in one column of a Parquet file, a row group at a time; skips rows without text.
 *
 * @throws TrainerError `BAD_INPUT` if the file is not Parquet, the column does not exist or holds other data
 *   than text, or a row group has more than 1 GiB of it or 4 million rows
 */
export async function* parquetTexts(
  { file, end }: Span,
  column: string,
  { onBytes }: Reading,
): AsyncGenerator<string[]> {
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    const columns = metadata.row_groups[0]?.columns.map((each) => each.meta_data?.path_in_schema[0]);
    const index = columns?.indexOf(column) ?? -1;
    if (columns !== undefined && index < 0) {
      const names = [...new Set(columns)].join(', ');
      throw refusal(file, `has no column ${JSON.stringify(column)} (columns: ${names})`);
    }
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const { total_uncompressed_size = 0, num_values = 0 } = group.columns[index]?.meta_data ?? {};
      const bytes = Number(total_uncompressed_size);
      const numRows = Math.max(Number(group.num_rows), Number(num_values));
      if (numRows > MAX_GROUP_ROWS)
        throw refusal(
          file,
          `has a row group of ${numRows} rows; write it with ${MAX_GROUP_ROWS} in one at most`,
        );
      if (bytes > MAX_GROUP_BYTES)
        throw refusal(
          file,
          `has a row group with ${(bytes / 1e9).toFixed(1)} GB of text; write it with smaller ones`,
        );
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await parquetReadObjects({
        file: buffer,
        metadata,
        columns: [column],
        rowStart,
        rowEnd,
        compressors: compressorsUpTo(MAX_GROUP_BYTES),
      });
      yield rows.flatMap((row) => textOf(row[column], file, column));
      onBytes(end / metadata.row_groups.length);
      rowStart = rowEnd;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === undefined ? asRefusal(file, message, error) : readError(file, error);
  }
}

/** Returns the library's compressors; they throw if all pages unpack to more bytes, whatever the metadata say. */
function compressorsUpTo(mostBytes: number): Compressors {
  let left = mostBytes;
  return Object.fromEntries(
    Object.entries(compressors).map(([codec, decompress]) => [
      codec,
      (page: Uint8Array, bytes: number) => {
        left -= bytes;
        if (left < 0) throw new Error('its pages unpack to more than it says');
        return decompress(page, bytes);
      },
    ]),
  );
}

function textOf(value: unknown, file: string, column: string): string[] {
  if (value === null || value === undefined) return [];
  if (typeof value === 'string') return [value];
  throw refusal(file, `holds something else than text in column ${JSON.stringify(column)}`);
}

function asRefusal(file: string, message: string, error: unknown): Error {
  const known = readError(file, error);
  return known === error ? known : refusal(file, `is no complete Parquet file (${message})`, error);
}
