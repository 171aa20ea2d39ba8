import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  MetricsReader,
  type MetricsRecord,
  type MetricsRecordOf,
  type OpenMetrics,
  parseRecord,
  type RecordSink,
  STEP_PARTS,
} from '@locmoe/run-format';
import type { ExpertsReply, MetricsReply, RanksReply, SpeedsReply, StepReply } from './api-types.js';
import type { ExpertsQuery } from './expert-load.js';
import { memoryColumns } from './memory-columns.js';
import { routingColumns } from './metric-columns.js';
import { metricGroups } from './metric-groups.js';
import { MetricsIndex } from './metrics-index.js';
import type { ColumnSource, Numbers } from './number-table.js';
import { RunMetrics } from './run-metrics.js';
import { stepReply } from './step-reply.js';

/** Approximate number of rows of a group in a reply. */
export const MAX_POINTS = 1_500;
/** After this time, a reply is made from the metrics read so far if much is left. */
const PATIENCE_MS = 500;
const MUCH_BYTES = 1 << 25;
/**
 * The index is saved when at least this many bytes, which are read in less than a second, and four times the
 * size of a state are not indexed.
 */
const SAVE_BYTES = 1 << 24;
/** Minimum number of unindexed bytes for a save once the run is over. */
const LEAST_BYTES = 1 << 22;
/** Time until a retry after a failed save, such as on a full disk. */
const RETRY_MS = 60_000;

export interface MetricsQuery {
  /** Cursor of an earlier reply; only later rows are returned. */
  readonly after?: string | undefined;
  readonly fromStep?: number | undefined;
  readonly toStep?: number | undefined;
  /** The layer of the group `routing`: a number, or `all`. */
  readonly layer: string;
  readonly maxPoints: number;
}

export interface MetricsTableOptions {
  readonly path: string;
  /** The folder of the index, beside the metrics. */
  readonly indexDirectory: string;
  /** ms since 1970, from which the times of steps without a recorded time are counted. */
  readonly startedAt: number;
  /** Whether this process is to maintain the index at this time, and whether the run is over. */
  readonly keepsIndex: () => { readonly isMine: boolean; readonly isOver: boolean };
  readonly patienceMs?: number;
}

/**
 * The metrics of one run, kept up to date with its file and, if this process maintains it, with its index.
 */
export class MetricsTable implements RecordSink {
  readonly #file: MetricsReader;
  readonly #index: MetricsIndex;
  #run: RunMetrics;
  /** Counts how often the file was read from its beginning. */
  #epoch = -1;
  /** Time of the last save that failed. */
  #failedAt = Number.NEGATIVE_INFINITY;
  /** Columns of the layer that was requested last, for the rows that are on disk. */
  #early: {
    readonly layer: string;
    readonly run: RunMetrics;
    readonly rows: number;
    readonly columns: Map<string, Numbers>;
  } | null = null;

  constructor(private readonly options: MetricsTableOptions) {
    this.#file = new MetricsReader(options.path, this);
    this.#index = new MetricsIndex(options.indexDirectory);
    this.#run = new RunMetrics(options.startedAt);
  }

  async metrics(query: MetricsQuery): Promise<MetricsReply> {
    const isRead = await this.#readOn();
    const ofLayer = await this.#layerSource(query.layer);
    const { steps, memory, points, speed } = this.#run;
    const { after, replaces } = this.#position(query.after);
    const numbers = steps.column('step');
    return {
      cursor: [this.#epoch, ...this.#lengths].join('.'),
      replaces,
      reading: isRead ? null : this.#file.progress,
      numRows: steps.numRows,
      hasTimes: points.hasTimes,
      firstStep: numbers[0] ?? null,
      lastStep: numbers[numbers.length - 1] ?? null,
      speed,
      groups: metricGroups(this.#run, {
        layer: query.layer,
        ofLayer,
        steps: this.#range(query, after[0]!),
        beats: [after[1]!, memory.numRows],
        maxPoints: query.maxPoints,
      }),
      layers: points.layers,
      parts: STEP_PARTS,
      validations: points.validations.slice(after[2]),
      checkpoints: points.checkpoints.slice(after[3]),
      generations: points.generations,
      skipped: points.skipped,
    };
  }

  async experts(query: ExpertsQuery): Promise<ExpertsReply> {
    await this.#readOn();
    return this.#run.experts.reply(this.#epoch, query);
  }

  /** @param after cursor of an earlier reply; only what is new is returned */
  async ranks(after: string | undefined): Promise<RanksReply> {
    await this.#readOn();
    return this.#run.lanes.reply(this.#epoch, after, this.#run.points.generations);
  }

  async speeds(): Promise<SpeedsReply> {
    await this.#readOn();
    return { speeds: this.#run.points.speeds };
  }

  /** Returns the record of a step; null if there is none, or if the metrics have not been read up to it yet. */
  async recordAt(step: number): Promise<MetricsRecordOf<'step'> | null> {
    await this.#readOn();
    const [steps, offsets] = [this.#run.steps.column('step'), this.#run.steps.column('offset')];
    const row = lowerBound(steps, step);
    if (steps[row] !== step) return null;
    const { path } = this.options;
    const file = await open(path);
    try {
      for await (const line of file.readLines({ start: offsets[row]!, autoClose: false })) {
        const record = parseRecord(line, path, offsets[row]!);
        return record?.type === 'step' && record.step === step ? record : null;
      }
      return null;
    } finally {
      await file.close();
    }
  }

  /** Returns a step compared with those before it; null in the cases of `recordAt`. */
  async step(step: number): Promise<StepReply | null> {
    const record = await this.recordAt(step);
    if (record === null) return null;
    const { steps, points } = this.#run;
    const row = lowerBound(steps.column('step'), step);
    const time = steps.column('time')[row]!;
    const generation = points.generations.findLast((each) => each.time <= time)?.generation ?? null;
    const column: ColumnSource = (name) => steps.column(name);
    return stepReply(record, { column, row, validations: points.validations, generation });
  }

  /** Reads what is new, and saves the index when that is due. */
  keepUp(): Promise<void> {
    return this.#file.update();
  }

  async begin(file: OpenMetrics): Promise<number> {
    this.#epoch++;
    const { startedAt } = this.options;
    this.#run = (await this.#index.load(file, startedAt)) ?? new RunMetrics(startedAt);
    return this.#index.covered;
  }

  add(record: MetricsRecord, offset: number): void {
    this.#run.add(record, offset);
  }

  async endPiece(file: OpenMetrics, offset: number): Promise<void> {
    const lacks = offset - this.#index.covered;
    if (lacks < LEAST_BYTES || performance.now() - this.#failedAt < RETRY_MS) return;
    const { isMine, isOver } = this.options.keepsIndex();
    const isDue =
      lacks >= Math.max(SAVE_BYTES, 4 * this.#index.stateBytes) || (isOver && offset === file.size);
    // Metrics without times, which only early versions wrote, cannot be indexed exactly.
    if (!isMine || !isDue || !this.#run.points.hasTimes) return;
    try {
      await this.#index.save(this.#run, file, offset);
    } catch {
      // The disk may be full, or the folder may belong to another user: without an index the page is slower
      // but still correct.
      this.#failedAt = performance.now();
    }
  }

  /** @returns whether everything in the file has been read */
  async #readOn(): Promise<boolean> {
    const reading = this.#file.update().then(() => true);
    // If reading fails after PATIENCE_MS, the caller has been answered already.
    reading.catch(() => undefined);
    for (;;) {
      if (await Promise.race([reading, sleep(this.options.patienceMs ?? PATIENCE_MS, false)])) return true;
      const { bytes, ofBytes } = this.#file.progress;
      if (ofBytes - bytes > MUCH_BYTES) return false;
    }
  }

  /** Returns the columns of a layer. If those on disk are damaged, the metrics are read from the start. */
  async #layerSource(layer: string): Promise<ColumnSource> {
    const run = this.#run;
    const { steps, layerSteps } = run;
    if (layer === 'all') return (name) => steps.column(name);
    const names = Object.values(routingColumns(layer));
    const rows = layerSteps.firstRow;
    if (rows > 0 && (this.#early?.layer !== layer || this.#early.run !== run || this.#early.rows !== rows)) {
      try {
        const columns = await this.#index.layerColumns(run, names);
        this.#early = { layer, run, rows, columns };
      } catch {
        this.#index.refuse();
        this.#file.beginAnew();
        await this.#readOn();
        return this.#layerSource(layer);
      }
    }
    const early = this.#early?.columns;
    return (name) => {
      if (!names.includes(name)) return steps.column(name);
      if (rows === 0 || early === undefined) return layerSteps.column(name);
      const joined = new Float32Array(layerSteps.numRows).fill(Number.NaN);
      joined.set(early.get(name) ?? []);
      joined.set(Array.from(layerSteps.column(name)), rows);
      return joined;
    };
  }

  /**
   * The lengths in a cursor: of the tables and lists that are sent in pieces, and the number of memory
   * columns.
   */
  get #lengths(): readonly [number, number, number, number, number] {
    const { steps, memory, points } = this.#run;
    const { validations, checkpoints } = points;
    const numColumns = memoryColumns(memory).length;
    return [steps.numRows, memory.numRows, validations.length, checkpoints.length, numColumns];
  }

  /**
   * Returns the lengths of a cursor, or zeros if the file has been replaced since or memory has other
   * columns.
   */
  #position(cursor = ''): { readonly after: readonly number[]; readonly replaces: boolean } {
    const [epoch, ...known] = cursor.split('.').map(Number);
    const lengths = this.#lengths;
    const isKnown =
      epoch === this.#epoch &&
      lengths.every((length, index) => known[index]! <= length) &&
      known[4] === lengths[4];
    return { after: isKnown ? known : lengths.map(() => 0), replaces: !isKnown };
  }

  #range({ fromStep, toStep }: MetricsQuery, after: number): [number, number] {
    const steps = this.#run.steps.column('step');
    const from = fromStep === undefined ? after : Math.max(after, lowerBound(steps, fromStep));
    const to = toStep === undefined ? steps.length : lowerBound(steps, toStep + 1);
    return [from, Math.max(from, to)];
  }
}

/** Returns the first index of ascending values that is at least `least`. */
function lowerBound(values: Numbers, least: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
