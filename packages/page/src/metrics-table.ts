import { Throughput } from 'locmoe/coordinator/throughput';
import { STEP_PARTS } from 'locmoe/rpc/messages';
import { MetricsReader, type RecordSink } from 'locmoe/run/metrics-reader';
import type { MetricsRecord, MetricsRecordOf } from 'locmoe/run/metrics-record';
import { meanLoss } from 'locmoe/run/validation-loss';
import type {
  Columns,
  ExpertsReply,
  GenerationPoint,
  MetricsGroup,
  MetricsReply,
  RankSpeedPoint,
  RanksReply,
  SpeedsReply,
  ValidationPoint,
} from './api-types.js';
import { bucketsOf, downsample, maximaOf, meansOf } from './downsample.js';
import { ExpertLoad, type ExpertsQuery } from './expert-load.js';
import { appendMemory, leadingOf, memoryColumns } from './memory-columns.js';
import {
  appendStep,
  jsonNumbers,
  NumberTable,
  PLACE_COLUMNS,
  ROUTING_COLUMNS,
  routingColumns,
} from './metric-columns.js';
import { RankLanes } from './rank-lanes.js';

/** Rows of a group in a reply, about. */
export const MAX_POINTS = 1_500;
/** An area of averages needs no more rows than a chart has pixels. */
const POINTS_PER_AVERAGE = 3;

export interface MetricsQuery {
  /** Cursor of an earlier reply: returns only later rows. */
  readonly after?: string | undefined;
  readonly fromStep?: number | undefined;
  readonly toStep?: number | undefined;
  /** The layer of the group `routing`: a number, or `all`. */
  readonly layer: string;
  readonly maxPoints: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Columns whose extremes survive downsampling. */
const LEADING = {
  loss: ['loss'],
  speed: ['stepMs'],
  gradient: ['gradientNorm'],
} as const;

/** The metrics of one run as columns, kept up with its file. */
export class MetricsTable implements RecordSink {
  readonly #file: MetricsReader;
  #epoch = 0;
  #steps = new NumberTable();
  #memory = new NumberTable();
  #experts = new ExpertLoad();
  #lanes = new RankLanes();
  #layers: number[] = [];
  #validations: ValidationPoint[] = [];
  #checkpoints: { step: number; directory: string }[] = [];
  #generations: Mutable<GenerationPoint>[] = [];
  #speeds: readonly RankSpeedPoint[] = [];
  #lastTime: number;
  #throughput = this.#newThroughput();
  #hasTimes = true;

  /** @param startedAt ms since 1970; steps without a time are counted from here */
  constructor(
    path: string,
    readonly startedAt: number,
  ) {
    this.#file = new MetricsReader(path, this);
    this.#lastTime = startedAt;
  }

  async metrics(query: MetricsQuery): Promise<MetricsReply> {
    await this.#file.update();
    const { rows: after, replaces } = this.#position(query.after);
    const steps = this.#steps.column('step');
    const [from, to] = this.#range(query, after.steps);
    const extremes = (leading: readonly string[], names: readonly string[]) =>
      this.#extremes(this.#steps, leading, ['step', 'time', ...names], [from, to], query.maxPoints);
    const averages = (names: readonly string[]) => this.#averages(names, [from, to], query.maxPoints);
    const names = routingColumns(query.layer);
    const routing = ROUTING_COLUMNS.map((name) => names[name]);
    const memory = memoryColumns(this.#memory);
    const beats = [after.memory, this.#memory.numRows] as const;
    const groups: Record<MetricsGroup, Columns> = {
      loss: extremes(LEADING.loss, ['loss', 'auxiliaryLoss', 'learningRate']),
      speed: extremes(LEADING.speed, ['stepMs', 'tokensPerS']),
      parts: averages(STEP_PARTS),
      gradient: extremes(LEADING.gradient, ['gradientNorm']),
      routing: unprefixed(extremes([names.otherNode, names.dropped], routing)),
      places: unprefixed(averages(PLACE_COLUMNS.map((name) => names[name]))),
      memory: this.#extremes(this.#memory, leadingOf(memory), ['time', ...memory], beats, query.maxPoints),
    };
    const { tokensPerS, secondsPerStep } = this.#throughput;
    return {
      cursor: [this.#epoch, ...this.#lengths].join('.'),
      replaces,
      numRows: this.#steps.numRows,
      hasTimes: this.#hasTimes,
      firstStep: steps[0] ?? null,
      lastStep: steps.at(-1) ?? null,
      speed: tokensPerS === 0 ? null : { tokensPerS, secondsPerStep },
      groups,
      layers: this.#layers,
      parts: STEP_PARTS,
      validations: this.#validations.slice(after.validations),
      checkpoints: this.#checkpoints.slice(after.checkpoints),
      generations: this.#generations,
    };
  }

  async experts(query: ExpertsQuery): Promise<ExpertsReply> {
    await this.#file.update();
    return this.#experts.reply(this.#epoch, query);
  }

  /** @param after cursor of an earlier reply: returns only what is new */
  async ranks(after: string | undefined): Promise<RanksReply> {
    await this.#file.update();
    return this.#lanes.reply(this.#epoch, after, this.#generations);
  }

  async speeds(): Promise<SpeedsReply> {
    await this.#file.update();
    return { speeds: this.#speeds };
  }

  restart(): void {
    this.#epoch++;
    this.#steps = new NumberTable();
    this.#memory = new NumberTable();
    this.#experts = new ExpertLoad();
    this.#lanes = new RankLanes();
    this.#layers = [];
    this.#validations = [];
    this.#checkpoints = [];
    this.#generations = [];
    this.#lastTime = this.startedAt;
    this.#throughput = this.#newThroughput();
    this.#hasTimes = true;
  }

  add(record: MetricsRecord): void {
    const generation = this.#generations.at(-1);
    if (generation !== undefined && record.type !== 'generation' && record.time > generation.lastTime)
      generation.lastTime = record.time;
    switch (record.type) {
      case 'step':
        this.#addStep(record);
        break;
      case 'validation':
        this.#validations.push({ step: record.step, loss: meanLoss(record), domains: record.domains });
        break;
      case 'checkpoint':
        this.#checkpoints.push({ step: record.step, directory: record.directory });
        break;
      case 'generation':
        this.#generations.push({
          time: record.time,
          generation: record.generation,
          resumedFrom: record.resumedFrom ?? null,
          lastTime: record.time,
        });
        this.#lanes.begin(record.time);
        this.#throughput = this.#newThroughput();
        break;
      case 'heartbeat':
        this.#addHeartbeat(record);
    }
  }

  #addHeartbeat(heartbeat: MetricsRecordOf<'heartbeat'>): void {
    this.#lanes.add(heartbeat);
    appendMemory(this.#memory, heartbeat);
    const speeds = heartbeat.ranks.flatMap(({ rank, ownMs, lostShare }) =>
      ownMs === undefined || lostShare === undefined ? [] : [{ rank, ownMs, lostShare }],
    );
    // A generation that has not trained yet has none.
    if (speeds.length > 0) this.#speeds = speeds;
  }

  #addStep(step: MetricsRecordOf<'step'>): void {
    const isTimed = !Number.isNaN(step.time);
    this.#hasTimes &&= isTimed;
    this.#lastTime = isTimed ? step.time : this.#lastTime + step.stepMs;
    appendStep(this.#steps, step, this.#lastTime);
    this.#throughput.add(step.step, step.tokens);
    const layers = step.layers ?? [];
    if (this.#layers.length === 0) this.#layers = layers.map(({ layer }) => layer);
    this.#experts.add(step.step, layers);
  }

  /** How many steps are left is not asked of it. */
  #newThroughput(): Throughput {
    return new Throughput(0, Infinity, () => this.#lastTime);
  }

  /** What a cursor counts, in its order. */
  get #lengths(): readonly number[] {
    return [
      this.#steps.numRows,
      this.#memory.numRows,
      this.#validations.length,
      this.#checkpoints.length,
      memoryColumns(this.#memory).length,
    ];
  }

  /** What lies before a cursor; nothing if the file has been replaced since, or if memory has other columns. */
  #position(cursor: string | undefined): { readonly rows: Position; readonly replaces: boolean } {
    const [epoch, ...known] = (cursor ?? '').split('.').map(Number);
    const lengths = this.#lengths;
    const isKnown =
      epoch === this.#epoch &&
      lengths.every((length, index) => known[index] <= length) &&
      known[4] === lengths[4];
    const [steps, memory, validations, checkpoints] = isKnown ? known : [0, 0, 0, 0];
    return { rows: { steps, memory, validations, checkpoints }, replaces: !isKnown };
  }

  #range({ fromStep, toStep }: MetricsQuery, after: number): [number, number] {
    const steps = this.#steps.column('step');
    const from = fromStep === undefined ? after : Math.max(after, lowerBound(steps, fromStep));
    const to = toStep === undefined ? steps.length : lowerBound(steps, toStep + 1);
    return [from, Math.max(from, to)];
  }

  #extremes(
    table: NumberTable,
    leading: readonly string[],
    names: readonly string[],
    [from, to]: readonly [number, number],
    maxRows: number,
  ): Columns {
    const columns = (leading.length === 0 ? ['time'] : leading).map((name) => table.column(name));
    return table.pick(names, downsample(columns, from, to, maxRows));
  }

  /** Means over buckets, with the step and time of the middle, and the longest step of each. */
  #averages(names: readonly string[], [from, to]: readonly [number, number], maxPoints: number): Columns {
    const buckets = bucketsOf(from, to, maxPoints / POINTS_PER_AVERAGE);
    const middles = buckets.map(([start, end]) => (start + end - 1) >> 1);
    const means = names.map(
      (name) => [name, jsonNumbers(meansOf(this.#steps.column(name), buckets))] as const,
    );
    return {
      ...this.#steps.pick(['step', 'time'], middles),
      ...Object.fromEntries(means),
      longestMs: jsonNumbers(maximaOf(this.#steps.column('stepMs'), buckets)),
    };
  }
}

/** The lengths of what is sent in pieces. */
interface Position {
  readonly steps: number;
  readonly memory: number;
  readonly validations: number;
  readonly checkpoints: number;
}

function unprefixed(columns: Columns): Columns {
  return Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name.slice(name.lastIndexOf('.') + 1), values]),
  );
}

/** The first index of ascending values that is at least `least`. */
function lowerBound(values: readonly number[], least: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
