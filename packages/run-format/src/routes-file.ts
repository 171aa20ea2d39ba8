import { renameSync, rmSync, statSync } from 'node:fs';
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type ColumnData,
  type DecodedArray,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
} from 'hyparquet';
import { fileWriter, ParquetWriter, schemaFromColumnData } from 'hyparquet-writer';
import { TrainerError, unsupported } from './errors.js';
import { assertRegular } from './regular-file.js';
import {
  COLUMN_NAMES,
  type Column,
  emptyRouteTable,
  ROUTE_COLUMNS,
  type RouteColumn,
  type RouteRow,
  type RouteTable,
} from './route-columns.js';
import { type SentRows, sentRows } from './row-traffic.js';

export {
  emptyRouteTable,
  ROUTE_COLUMNS,
  type RouteColumn,
  type RouteLink,
  type RouteOutcome,
  type RouteRow,
  type RouteTable,
  rowsOf,
} from './route-columns.js';

export { parseRoutesFileName, routesFileName } from './routes-file-name.js';

/** The version of the columns, in the file's key-value metadata as `locmoe.routes`. */
const ROUTES_VERSION = 1;
const VERSION_KEY = 'locmoe.routes';
/** Key of the number of experts in a sparse layer of the model that made the choices. */
const EXPERTS_KEY = 'locmoe.experts';
/** Key of what the rank sent in the step, as JSON. */
const SENT_KEY = 'locmoe.sent';
/** A file holds one step of one rank, with some hundred bytes per choice before compression. */
const MAX_BYTES = 2 ** 31;
/** Maximum number of choices, which take some 2 GB of memory as rows. */
export const MAX_CHOICES = 4_000_000;

/** Writes a file of routes, which gets its name when it is complete. */
export class RoutesWriter {
  readonly #writer: ParquetWriter;

  /**
   * @param numExperts number of experts in a sparse layer of the model that makes the choices
   * @param sent what the rank sent in the step; omitted for text that is routed with a checkpoint
   */
  constructor(
    private readonly file: string,
    numExperts: number,
    sent?: SentRows,
  ) {
    this.#writer = new ParquetWriter({
      writer: fileWriter(`${file}.tmp`),
      schema: schemaFromColumnData({ columnData: columnsOf(emptyRouteTable()) }),
      kvMetadata: [
        { key: VERSION_KEY, value: String(ROUTES_VERSION) },
        { key: EXPERTS_KEY, value: String(numExperts) },
        ...(sent === undefined ? [] : [{ key: SENT_KEY, value: JSON.stringify(sent) }]),
      ],
    });
  }

  write(table: RouteTable): void {
    const columnData = columnsOf(table).map(({ name, data }) => ({ name, data }));
    // A writer of files writes synchronously.
    void this.#writer.write({ columnData });
  }

  /** @returns bytes of the file */
  close(): number {
    void this.#writer.finish();
    const { size } = statSync(`${this.file}.tmp`);
    renameSync(`${this.file}.tmp`, this.file);
    return size;
  }

  /** Removes what was written. */
  abandon(): void {
    rmSync(`${this.file}.tmp`, { force: true });
  }
}

function columnsOf(table: RouteTable) {
  return COLUMN_NAMES.map((name) => {
    const { type, nullable = false }: Column = ROUTE_COLUMNS[name];
    return { name, type, nullable, data: table[name] as DecodedArray };
  });
}

/** Some rows of a file, by column. */
export type RouteColumns = { readonly [Name in RouteColumn]: ArrayLike<RouteRow[Name]> };

/**
 * @throws TrainerError `BAD_INPUT` if it is not a file of recorded routes, or damaged; the file system's
 *   error
 */
export async function readRoutes(file: string): Promise<RouteRow[]> {
  const rows: RouteRow[] = [];
  for await (const columns of readRowGroups(file))
    for (let at = 0; at < columns.step.length; at++) {
      const row: Record<string, unknown> = {};
      for (const name of COLUMN_NAMES) row[name] = columns[name][at];
      rows.push(row as RouteRow);
    }
  return rows;
}

/**
 * Reads a file one row group at a time, so that its values need not be in memory all at once.
 *
 * @throws TrainerError as `readRoutes`
 */
export async function* readRowGroups(file: string): AsyncGenerator<RouteColumns> {
  const { bytes, metadata } = await reading(file, async (bytes, metadata) => ({ bytes, metadata }));
  let rowStart = 0;
  for (const { num_rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(num_rows);
    try {
      yield await columnsBetween(bytes, metadata, rowStart, rowEnd);
    } catch (error) {
      throw damaged(file, error);
    }
    rowStart = rowEnd;
  }
}

async function columnsBetween(
  file: AsyncBuffer,
  metadata: FileMetaData,
  rowStart: number,
  rowEnd: number,
): Promise<RouteColumns> {
  const columns = new Map<string, ArrayLike<unknown>>();
  const onChunk = ({ columnName, columnData }: ColumnData) => {
    const before = columns.get(columnName);
    columns.set(
      columnName,
      before === undefined ? columnData : [...Array.from(before), ...Array.from(columnData)],
    );
  };
  await parquetRead({ file, metadata, columns: COLUMN_NAMES, rowStart, rowEnd, onChunk });
  for (const name of COLUMN_NAMES)
    if (columns.get(name)?.length !== rowEnd - rowStart) throw new Error(`column ${name} is not whole`);
  return Object.fromEntries(columns) as unknown as RouteColumns;
}

/** Facts about a file of recorded routes that are stored in its footer. */
export interface RoutesFacts {
  readonly numRows: number;
  /**
   * Number of experts in a sparse layer of the model that made the choices; null if the file does not contain
   * it.
   */
  readonly numExperts: number | null;
  /** Bytes that the rank sent in the step; null if the file does not contain them. */
  readonly sent: SentRows | null;
  /** Minimum and maximum of a requested column; null if the file does not contain them. */
  readonly rangeOf: (column: RouteColumn) => readonly [least: number, greatest: number] | null;
}

/** @throws TrainerError as `readRoutes` */
export async function inspectRoutes(file: string): Promise<RoutesFacts> {
  return reading(file, async (_, metadata) => {
    const [experts, sent] = [EXPERTS_KEY, SENT_KEY].map(
      (wanted) => metadata.key_value_metadata?.find(({ key }) => key === wanted)?.value,
    );
    return {
      numRows: Number(metadata.num_rows),
      numExperts: experts === undefined ? null : Number(experts),
      sent: sent === undefined ? null : sentRows.parse(JSON.parse(sent)),
      rangeOf: (column) => rangeOf(metadata, column),
    };
  });
}

function rangeOf(metadata: FileMetaData, column: RouteColumn): readonly [number, number] | null {
  const range: [number, number] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { columns } of metadata.row_groups) {
    const { min_value: least, max_value: greatest } =
      columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === column)?.meta_data?.statistics ?? {};
    range[0] = Math.min(range[0], Number(least));
    range[1] = Math.max(range[1], Number(greatest));
  }
  return range.every(Number.isFinite) ? range : null;
}

/** Reads some columns, each into one array. @throws TrainerError as `readRoutes` */
export async function readRouteColumns<Name extends RouteColumn>(
  file: string,
  names: readonly Name[],
): Promise<Pick<RouteTable, Name>> {
  return reading(file, async (bytes, metadata) => {
    const table = Object.fromEntries(names.map((name) => [name, [] as unknown[]]));
    await parquetRead({
      file: bytes,
      metadata,
      columns: [...names],
      // Chunks may arrive in any order.
      onChunk: ({ columnName, columnData, rowStart }) => {
        const column = table[columnName]!;
        for (let i = 0; i < columnData.length; i++) column[rowStart + i] = columnData[i];
      },
    });
    return table as Pick<RouteTable, Name>;
  });
}

async function reading<T>(
  file: string,
  read: (bytes: AsyncBuffer, metadata: FileMetaData) => Promise<T>,
): Promise<T> {
  const { size } = assertRegular(file);
  if (size > MAX_BYTES)
    throw new TrainerError('BAD_INPUT', `${file}: has ${size} bytes; at most ${MAX_BYTES} are read`);
  let version: string | undefined;
  try {
    const bytes = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(bytes);
    assertCounts(file, metadata);
    version = metadata.key_value_metadata?.find(({ key }) => key === VERSION_KEY)?.value;
    if (Number(version) === ROUTES_VERSION) return await read(bytes, metadata);
  } catch (error) {
    throw damaged(file, error);
  }
  if (version === undefined)
    throw new TrainerError('BAD_INPUT', `${file}: has no routes that locmoe recorded`);
  throw unsupported(file, Number(version), ROUTES_VERSION);
}

/**
 * Limits the number of rows: a run of equal values takes some ten bytes in the file, but memory for all its
 * values.
 */
function assertCounts(file: string, { row_groups: groups }: FileMetaData): void {
  let [rows, most] = [0, 0];
  for (const { num_rows, columns } of groups) {
    rows += Number(num_rows);
    for (const { meta_data } of columns) most = Math.max(most, Number(meta_data?.num_values));
  }
  most = Math.max(most, rows);
  if (!(most <= MAX_CHOICES))
    throw new TrainerError('BAD_INPUT', `${file}: has ${most} choices; at most ${MAX_CHOICES} are read`);
}

function damaged(file: string, error: unknown): TrainerError {
  if (error instanceof TrainerError) return error;
  return new TrainerError('BAD_INPUT', `${file}: is no whole Parquet file (${(error as Error).message})`);
}
