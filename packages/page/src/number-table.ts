import type { Columns } from './api-types.js';

type Floats = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;
export type Numbers = ArrayLike<number>;

const FIRST_CAPACITY = 64;

/** An append-only table of numbers, in columns; NaN where a row has no value. */
export class NumberTable {
  readonly #columns = new Map<string, Floats>();
  #capacity = FIRST_CAPACITY;
  /** Index of the first row in memory; the rows before it were released. */
  firstRow = 0;
  numRows = 0;

  /** @param Column 4 or 8 bytes per number */
  constructor(private readonly Column: new (length: number) => Floats) {}

  /** Sets a value of the next row, overwriting an earlier value unless the row was ended. */
  put(name: string, value: number | null | undefined): void {
    this.#columnOf(name)[this.numRows - this.firstRow] = value ?? Number.NaN;
  }

  /** Appends the row; columns without a value get NaN. */
  endRow(): void {
    this.numRows++;
    this.#reserve(1);
  }

  /** Returns the rows of a column in memory; all NaN if there is no such column. */
  column(name: string): Numbers {
    const column = this.#columns.get(name);
    const length = this.numRows - this.firstRow;
    return column?.subarray(0, length) ?? new this.Column(length).fill(Number.NaN);
  }

  /** Names in order of appearance. */
  get names(): readonly string[] {
    return [...this.#columns.keys()];
  }

  /** Returns the rows from `row` on as bytes, column by column in the order of `names`. */
  encode(row: number): Buffer {
    const parts = [...this.#columns.values()].map((column) => {
      const rows = column.subarray(row - this.firstRow, this.numRows - this.firstRow);
      return Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
    });
    return Buffer.concat(parts);
  }

  /** Appends rows that `encode` made of a table with these columns. */
  decode(names: readonly string[], numRows: number, bytes: Buffer): void {
    this.#reserve(numRows);
    const values = this.valuesOf(bytes);
    for (const [index, name] of names.entries())
      this.#columnOf(name).set(
        values.subarray(index * numRows, (index + 1) * numRows),
        this.numRows - this.firstRow,
      );
    this.numRows += numRows;
  }

  /** Decodes the numbers in `bytes`. */
  valuesOf(bytes: Buffer): Floats {
    const values = new this.Column(bytes.length / new this.Column(0).BYTES_PER_ELEMENT);
    bytes.copy(Buffer.from(values.buffer));
    return values;
  }

  /** Adds columns with `numRows` rows that are not in memory. */
  skip(names: readonly string[], numRows: number): void {
    for (const name of names) this.#columnOf(name);
    this.numRows += numRows;
    this.release();
  }

  /** Releases the rows so far, but keeps the names of the columns. */
  release(): void {
    this.firstRow = this.numRows;
    this.#capacity = FIRST_CAPACITY;
    for (const name of this.names) this.#columns.set(name, this.#make());
  }

  #columnOf(name: string): Floats {
    const column = this.#columns.get(name) ?? this.#make();
    this.#columns.set(name, column);
    return column;
  }

  #make(): Floats {
    return new this.Column(this.#capacity).fill(Number.NaN);
  }

  /** Makes room for `numRows` rows after the last. */
  #reserve(numRows: number): void {
    const needed = this.numRows - this.firstRow + numRows;
    if (needed < this.#capacity) return;
    while (this.#capacity <= needed) this.#capacity *= 2;
    for (const [name, column] of this.#columns) {
      const larger = this.#make();
      larger.set(column);
      this.#columns.set(name, larger);
    }
  }
}

/** Columns by name: those of a table, or a substitute. */
export type ColumnSource = (name: string) => Numbers;

/** Returns the named columns at the given rows, ready for JSON. */
export function pick(columnOf: ColumnSource, names: readonly string[], rows: readonly number[]): Columns {
  return Object.fromEntries(
    names.map((name) => {
      const column = columnOf(name);
      return [name, jsonNumbers(rows.map((row) => column[row]!))];
    }),
  );
}

/** Replaces NaN and infinities, which JSON cannot express, by null. */
export function jsonNumbers(values: readonly number[]): (number | null)[] {
  return values.map(jsonNumber);
}

/**
 * Rounds to six digits, which suffice for a chart; integers of 1e5 and more, such as times in ms, keep all
 * digits.
 */
function jsonNumber(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const size = Math.abs(value);
  if (size >= 1e5 || size === 0) return Math.round(value);
  const scale = 10 ** (5 - Math.floor(Math.log10(size)));
  return Math.round(value * scale) / scale;
}
