import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { endianness } from 'node:os';
import path from 'node:path';
import type { OpenMetrics } from '@locmoe/run-format';
import { RunMetrics, type SavedMetrics } from './run-metrics.js';

/** An index of another format is not read. */
const FORM = `locmoe-metrics-index 2 ${endianness()}`;
const COLUMNS = 'columns';
const STATE = /^state-(\d+)$/;
/** A run that resumes from a checkpoint continues with an earlier state of its index. */
const NUM_STATES = 4;
/** Number of bytes before the end of a block that identify the metrics it was made from. */
const MARK_BYTES = 1 << 10;

/** Rows of a table in the columns file. */
interface Part {
  readonly at: number;
  readonly rows: number;
  /** Number of leading columns of the table that the part contains. */
  readonly numColumns: number;
  readonly bytes: number;
  readonly hash: string;
}

/** The rows of a range of the metrics. */
interface Block {
  /** Byte of the metrics where the block ends. */
  readonly to: number;
  /** Hash of the metrics before that byte. */
  readonly mark: string;
  /** Parts in the order of `RunMetrics.tables`. */
  readonly parts: readonly Part[];
}

/** A state file, without the counts of the experts. */
interface State extends Omit<SavedMetrics, 'bytes'> {
  readonly blocks: readonly Block[];
  /** The names of the columns, by table. */
  readonly names: readonly (readonly string[])[];
}

/**
 * An index of a run's metrics beside `metrics.ndjson`, so that these need not be read again from the start.
 * It consists of `columns`, to which rows are appended, and `state-BYTES`, which says which part of `columns`
 * is valid and holds everything else as of that byte of the metrics. A state takes effect when its file is
 * renamed. Everything is checked before use: hashes detect damage, marks detect metrics that have been
 * rewritten.
 */
export class MetricsIndex {
  #blocks: readonly Block[] = [];
  #names: readonly (readonly string[])[] = [];
  /** Whether the columns turned out to be damaged; nothing is loaded until the index has been saved again. */
  #isRefused = false;
  /** Size of the last state. */
  stateBytes = 0;

  /** @param directory created by `save` */
  constructor(private readonly directory: string) {}

  /** Bytes of the metrics that the index covers. */
  get covered(): number {
    return this.#blocks.at(-1)?.to ?? 0;
  }

  /**
   * Loads the newest state that is valid for the metrics; null if there is none. The rows of single layers
   * stay on disk.
   *
   * @param startedAt start of the run, ms since 1970
   */
  async load(metrics: OpenMetrics, startedAt: number): Promise<RunMetrics | null> {
    this.#blocks = [];
    if (this.#isRefused) return null;
    for (const name of await this.#states())
      try {
        return await this.#loadState(name, metrics, startedAt);
      } catch {
        // This state is damaged or belongs to other metrics; an earlier one may be valid.
      }
    return null;
  }

  /**
   * Appends the rows since the last save, and releases those of single layers.
   *
   * @param to byte of the metrics up to which `run` has read them
   * @throws the file system's error; the earlier state stays valid
   */
  async save(run: RunMetrics, { handle }: OpenMetrics, to: number): Promise<void> {
    await mkdir(this.directory, { recursive: true });
    const { tables } = run;
    const rowsBefore = (table: number) =>
      this.#blocks.reduce((sum, { parts }) => sum + parts[table]!.rows, 0);
    const encoded = tables.map((table, index) => table.encode(rowsBefore(index)));
    let at = endOf(this.#blocks);
    const parts = encoded.map((bytes, index): Part => {
      const { names, numRows } = tables[index]!;
      const part = { at, rows: numRows - rowsBefore(index), numColumns: names.length, bytes: bytes.length };
      at += bytes.length;
      return { ...part, hash: hashOf(bytes) };
    });
    const blocks = [...this.#blocks, { to, mark: await markAt(handle, to), parts }];
    const names = tables.map((table) => table.names);
    const { bytes, ...saved } = run.save();
    const json = JSON.stringify({ ...saved, blocks, names } satisfies State);
    const body = Buffer.concat([Buffer.from(`${json}\n`), bytes]);
    await this.#writeColumns(encoded, parts[0]!.at);
    const file = path.join(this.directory, `state-${to}`);
    await writeFile(`${file}.tmp`, Buffer.concat([Buffer.from(`${FORM} ${hashOf(body)}\n`), body]));
    await rename(`${file}.tmp`, file);
    this.stateBytes = body.length;
    this.#blocks = blocks;
    this.#names = names;
    run.layerSteps.release();
    this.#isRefused = false;
    const states = await this.#states();
    // States of later bytes belong to metrics that have been rewritten.
    const held = states.filter((name) => byteOf(name) <= to).slice(0, NUM_STATES);
    for (const old of states.filter((name) => !held.includes(name))) await rm(path.join(this.directory, old));
  }

  /** Marks the index as damaged, so that it is not loaded again. */
  refuse(): void {
    this.#isRefused = true;
  }

  /** Reads columns of single layers for the rows that are not in memory. @throws Error if they are damaged */
  async layerColumns(run: RunMetrics, names: readonly string[]): Promise<Map<string, Float32Array>> {
    const index = run.tables.indexOf(run.layerSteps);
    const { firstRow } = run.layerSteps;
    const columns = new Map(names.map((name) => [name, new Float32Array(firstRow).fill(Number.NaN)]));
    const wanted = names
      .map((name) => [name, this.#names[index]?.indexOf(name) ?? -1] as const)
      .filter(([, column]) => column >= 0);
    if (wanted.length === 0) return columns;
    const file = await open(path.join(this.directory, COLUMNS));
    try {
      let row = 0;
      for (const { parts } of this.#blocks) {
        const part = parts[index]!;
        const { rows, numColumns } = part;
        const values = run.layerSteps.valuesOf(await readPart(file, part));
        for (const [name, column] of wanted.filter(([, at]) => at < numColumns))
          columns.get(name)?.set(values.subarray(column * rows, (column + 1) * rows), row);
        row += rows;
      }
    } finally {
      await file.close();
    }
    return columns;
  }

  async #loadState(name: string, { handle, size }: OpenMetrics, startedAt: number): Promise<RunMetrics> {
    const file = await readFile(path.join(this.directory, name));
    const endOfHead = file.indexOf('\n');
    const body = file.subarray(endOfHead + 1);
    if (file.toString('latin1', 0, endOfHead) !== `${FORM} ${hashOf(body)}`) throw new Error('damaged');
    const endOfJson = body.indexOf('\n');
    const { blocks, names, ...saved }: State = JSON.parse(body.toString('utf8', 0, endOfJson));
    if ((blocks.at(-1)?.to ?? 0) > size) throw new Error('of longer metrics');
    for (const { to, mark } of blocks)
      if ((await markAt(handle, to)) !== mark) throw new Error('of other metrics');
    const run = new RunMetrics(startedAt);
    await this.#loadColumns(run, blocks, names);
    run.restore({ ...saved, bytes: body.subarray(endOfJson + 1) });
    this.#blocks = blocks;
    this.#names = names;
    this.stateBytes = body.length;
    return run;
  }

  async #loadColumns(run: RunMetrics, blocks: readonly Block[], names: State['names']): Promise<void> {
    const file = await open(path.join(this.directory, COLUMNS));
    try {
      if ((await file.stat()).size < endOf(blocks)) throw new Error('cut short');
      for (const { parts } of blocks)
        for (const [index, part] of parts.entries()) {
          const [table, columns] = [run.tables[index]!, names[index]!.slice(0, part.numColumns)];
          if (table === run.layerSteps) table.skip(columns, part.rows);
          else table.decode(columns, part.rows, await readPart(file, part));
        }
    } finally {
      await file.close();
    }
  }

  /** Overwrites whatever invalid states had written at this place. */
  async #writeColumns(parts: readonly Buffer[], at: number): Promise<void> {
    const file = path.join(this.directory, COLUMNS);
    const columns = await open(file, 'r+').catch(() => open(file, 'w+'));
    try {
      const bytes = Buffer.concat(parts);
      let done = 0;
      while (done < bytes.length)
        done += (await columns.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    } finally {
      await columns.close();
    }
  }

  /** Lists the names of the state files, the newest first. */
  async #states(): Promise<string[]> {
    const files = await readdir(this.directory).catch(() => []);
    return files.filter((name) => STATE.test(name)).sort((a, b) => byteOf(b) - byteOf(a));
  }
}

function byteOf(state: string): number {
  return Number(STATE.exec(state)?.[1]);
}

function hashOf(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** Returns the hash of the bytes before `end`. */
async function markAt(metrics: FileHandle, end: number): Promise<string> {
  const length = Math.min(end, MARK_BYTES);
  return hashOf(await readAt(metrics, end - length, length));
}

/** Returns the end of the columns of the blocks, in bytes. */
function endOf(blocks: readonly Block[]): number {
  const last = blocks.at(-1)?.parts.at(-1);
  return last === undefined ? 0 : last.at + last.bytes;
}

async function readPart(columns: FileHandle, { at, bytes, hash }: Part): Promise<Buffer> {
  const part = await readAt(columns, at, bytes);
  if (hashOf(part) !== hash) throw new Error('damaged');
  return part;
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(bytes, 0, length, at);
  if (bytesRead < length) throw new Error('cut short');
  return bytes;
}
