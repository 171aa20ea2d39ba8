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
import type {
  Columns,
  ExpertsReply,
  MetricsGroup,
  MetricsReply,
  RanksReply,
  SpeedsReply,
  StepReply,
} from './api-types.js';
import { bucketsOf, downsample, meansOf, rowsOfMaxima } from './downsample.js';
import type { ExpertsQuery } from './expert-load.js';
import { leadingOf, memoryColumns } from './memory-columns.js';
import { PLACE_COLUMNS, ROUTING_COLUMNS, routingColumns, SCALARS } from './metric-columns.js';
import { MetricsIndex } from './metrics-index.js';
import { type ColumnSource, jsonNumbers, type Numbers, pick } from './number-table.js';
import { RunMetrics } from './run-metrics.js';
import { stepReply } from './step-reply.js';

/** Rows of a group in a reply, about. */
export const MAX_POINTS = 1_500;
/** An area of averages needs no more rows than a chart has pixels. */
const POINTS_PER_AVERAGE = 3;
/** A reply that has waited so long for metrics to be read tells of those read so far, if much is left. */
const PATIENCE_MS = 500;
const MUCH_BYTES = 1 << 25;
/** The index is saved whenever it lacks so much, which a reader makes up for in less than a second, or four states. */
const SAVE_BYTES = 1 << 24;
/** Once a run is over, so much less is worth a save. */
const LEAST_BYTES = 1 << 22;
/** Time until a retry after a failed save, such as on a full disk. */
const RETRY_MS = 60_000;

export interface MetricsQuery {
  /** Cursor of an earlier reply: returns only later rows. */
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
  /** ms since 1970; steps without a time are counted from here */
  readonly startedAt: number;
  /** Whether it is for this process to keep the index at this time, and whether the run is over. */
  readonly keepsIndex: () => { readonly isMine: boolean; readonly isOver: boolean };
}

/** Columns whose extremes survive downsampling. */
const LEADING = {
  loss: ['loss'],
  speed: ['stepMs'],
  gradient: ['gradientNorm'],
  rates: ['auxiliaryLoss'],
} as const;

/** Columns that are in no group of their own. */
const RATES = SCALARS.filter((name) => !['loss', 'stepMs', 'gradientNorm'].includes(name));

/** The metrics of one run, kept up with its file and, if that is this process's to do, with its index. */
export class MetricsTable implements RecordSink {
  readonly #file: MetricsReader;
  readonly #index: MetricsIndex;
  #run: RunMetrics;
  /** Counts how often the file was begun anew. */
  #epoch = -1;
  /** When a save failed last. */
  #failedAt = Number.NEGATIVE_INFINITY;
  /** Columns of the layer that was asked for last, as far as they are on disk. */
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
    const layer = await this.#layerSource(query.layer);
    const run = this.#run;
    const { rows: after, replaces } = this.#position(query.after);
    const { steps, points } = run;
    const column: ColumnSource = (name) => steps.column(name);
    const numbers = column('step');
    const [from, to] = this.#range(query, after.steps);
    const extremes = (leading: readonly string[], names: readonly string[], source = column) =>
      extremesOf(source, leading, ['step', 'time', ...names], [from, to], query.maxPoints);
    const averages = (names: readonly string[], source = column) =>
      averagesOf(source, names, [from, to], query.maxPoints);
    const names = routingColumns(query.layer);
    const routing = ROUTING_COLUMNS.map((name) => names[name]);
    const memory = memoryColumns(run.memory);
    const beats = [after.memory, run.memory.numRows] as const;
    const ofMemory: ColumnSource = (name) => run.memory.column(name);
    const groups: Record<MetricsGroup, Columns> = {
      loss: extremes(LEADING.loss, ['tokens', 'loss']),
      rates: extremes(LEADING.rates, RATES),
      speed: extremes(LEADING.speed, ['stepMs', 'tokensPerS']),
      parts: averages(STEP_PARTS),
      gradient: extremes(LEADING.gradient, ['gradientNorm']),
      routing: unprefixed(extremes([names.otherNode, names.dropped], routing, layer)),
      places: unprefixed(
        averages(
          PLACE_COLUMNS.map((name) => names[name]),
          layer,
        ),
      ),
      memory: extremesOf(ofMemory, leadingOf(memory), ['time', ...memory], beats, query.maxPoints),
    };
    return {
      cursor: [this.#epoch, ...this.#lengths].join('.'),
      replaces,
      reading: isRead ? null : this.#file.progress,
      numRows: steps.numRows,
      hasTimes: points.hasTimes,
      firstStep: numbers[0] ?? null,
      lastStep: numbers[numbers.length - 1] ?? null,
      speed: run.speed,
      groups,
      layers: points.layers,
      parts: STEP_PARTS,
      validations: points.validations.slice(after.validations),
      checkpoints: points.checkpoints.slice(after.checkpoints),
      generations: points.generations,
      skipped: points.skipped,
    };
  }

  async experts(query: ExpertsQuery): Promise<ExpertsReply> {
    await this.#readOn();
    return this.#run.experts.reply(this.#epoch, query);
  }

  /** @param after cursor of an earlier reply: returns only what is new */
  async ranks(after: string | undefined): Promise<RanksReply> {
    await this.#readOn();
    return this.#run.lanes.reply(this.#epoch, after, this.#run.points.generations);
  }

  async speeds(): Promise<SpeedsReply> {
    await this.#readOn();
    return { speeds: this.#run.points.speeds };
  }

  /** All that was recorded of a step; null if nothing was, or if the metrics have not been read up to it yet. */
  async recordAt(step: number): Promise<MetricsRecordOf<'step'> | null> {
    await this.#readOn();
    const [steps, offsets] = [this.#run.steps.column('step'), this.#run.steps.column('offset')];
    const row = lowerBound(steps, step);
    if (steps[row] !== step) return null;
    const file = await open(this.options.path);
    try {
      for await (const line of file.readLines({ start: offsets[row]!, autoClose: false })) {
        const record = parseRecord(line);
        return record?.type === 'step' && record.step === step ? record : null;
      }
      return null;
    } finally {
      await file.close();
    }
  }

  /** A step beside those before it; null as `recordAt`. */
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

  /** Reads what is new, and saves the index where that is due. */
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
    // The index would differ from the metrics without times, which only early versions did not record.
    if (!isMine || !isDue || !this.#run.points.hasTimes) return;
    try {
      await this.#index.save(this.#run, file, offset);
    } catch {
      // The disk may be full, or the folder another's: without an index the page is slower, but no less right.
      this.#failedAt = performance.now();
    }
  }

  /** @returns whether all that is there has been read */
  async #readOn(): Promise<boolean> {
    const reading = this.#file.update().then(() => true);
    // Whoever waits for it no more has been answered.
    reading.catch(() => undefined);
    for (;;) {
      if (await Promise.race([reading, sleep(PATIENCE_MS, false)])) return true;
      const { bytes, ofBytes } = this.#file.progress;
      if (ofBytes - bytes > MUCH_BYTES) return false;
    }
  }

  /** Columns of a layer. If those that are on disk are damaged, the metrics are read from the start. */
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

  /** Lengths that a cursor counts, in its order. */
  get #lengths(): readonly number[] {
    const { steps, memory, points } = this.#run;
    return [
      steps.numRows,
      memory.numRows,
      points.validations.length,
      points.checkpoints.length,
      memoryColumns(memory).length,
    ];
  }

  /** Returns the position of a cursor; the start if the file has been replaced since, or if memory has other columns. */
  #position(cursor: string | undefined): { readonly rows: Position; readonly replaces: boolean } {
    const [epoch, ...known] = (cursor ?? '').split('.').map(Number);
    const lengths = this.#lengths;
    const isKnown =
      epoch === this.#epoch &&
      lengths.every((length, index) => known[index]! <= length) &&
      known[4] === lengths[4];
    const [steps = 0, memory = 0, validations = 0, checkpoints = 0] = isKnown ? known : [];
    return { rows: { steps, memory, validations, checkpoints }, replaces: !isKnown };
  }

  #range({ fromStep, toStep }: MetricsQuery, after: number): [number, number] {
    const steps = this.#run.steps.column('step');
    const from = fromStep === undefined ? after : Math.max(after, lowerBound(steps, fromStep));
    const to = toStep === undefined ? steps.length : lowerBound(steps, toStep + 1);
    return [from, Math.max(from, to)];
  }
}

/** The lengths of what is sent in pieces. */
interface Position {
  readonly steps: number;
  readonly memory: number;
  readonly validations: number;
  readonly checkpoints: number;
}

function extremesOf(
  columnOf: ColumnSource,
  leading: readonly string[],
  names: readonly string[],
  [from, to]: readonly [number, number],
  maxRows: number,
): Columns {
  const columns = (leading.length === 0 ? ['time'] : leading).map(columnOf);
  return pick(columnOf, names, downsample(columns, from, to, maxRows));
}

/** Means over buckets, with the step and time of the middle, and the longest step of each and how long it took. */
function averagesOf(
  columnOf: ColumnSource,
  names: readonly string[],
  [from, to]: readonly [number, number],
  maxPoints: number,
): Columns {
  const buckets = bucketsOf(from, to, maxPoints / POINTS_PER_AVERAGE);
  const middles = buckets.map(([start, end]) => (start + end - 1) >> 1);
  const means = names.map((name) => [name, jsonNumbers(meansOf(columnOf(name), buckets))] as const);
  const [step, stepMs] = [columnOf('step'), columnOf('stepMs')];
  const longest = rowsOfMaxima(stepMs, buckets);
  return {
    ...pick(columnOf, ['step', 'time'], middles),
    ...Object.fromEntries(means),
    longestMs: jsonNumbers(longest.map((row) => stepMs[row]!)),
    longestStep: longest.map((row) => step[row]!),
  };
}

function unprefixed(columns: Columns): Columns {
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name.slice(name.lastIndexOf('.') + 1), values]),
  );
}

/** The first index of ascending values that is at least `least`. */
function lowerBound(values: Numbers, least: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
