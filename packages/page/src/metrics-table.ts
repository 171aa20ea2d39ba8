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
  RanksReply,
  ValidationPoint,
} from './api-types.js';
import { downsample } from './downsample.js';
import { ExpertLoad } from './expert-load.js';
import { appendStep, NumberTable, ROUTING_COLUMNS, routingColumns } from './metric-columns.js';
import { RankLanes } from './rank-lanes.js';

/** Rows of a group in a reply, about. */
export const MAX_POINTS = 1_500;

export interface MetricsQuery {
  /** Cursor of an earlier reply: returns only later rows. */
  readonly after?: string | undefined;
  readonly fromStep?: number | undefined;
  readonly toStep?: number | undefined;
  /** The layer of the group `routing`: a number, or `all`. */
  readonly layer: string;
  readonly maxPoints: number;
}

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
  #generations: GenerationPoint[] = [];
  #lastTime: number;
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
    const group = (table: NumberTable, leading: readonly string[], names: readonly string[], start = from) =>
      this.#group(table, {
        leading,
        names,
        from: start,
        to: table === this.#steps ? to : table.numRows,
        query,
      });
    const names = routingColumns(query.layer);
    const routing = ROUTING_COLUMNS.map((name) => names[name]);
    const groups: Record<MetricsGroup, Columns> = {
      loss: group(this.#steps, LEADING.loss, ['loss', 'auxiliaryLoss', 'learningRate']),
      speed: group(this.#steps, LEADING.speed, ['stepMs', 'tokensPerS', ...STEP_PARTS]),
      gradient: group(this.#steps, LEADING.gradient, ['gradientNorm']),
      routing: unprefixed(group(this.#steps, [names.otherNode, names.dropped], routing)),
      memory: group(this.#memory, this.#memory.names.slice(1, 9), this.#memory.names, after.memory),
    };
    return {
      cursor: `${this.#epoch}.${this.#steps.numRows}.${this.#memory.numRows}`,
      replaces,
      numRows: this.#steps.numRows,
      hasTimes: this.#hasTimes,
      firstStep: steps[0] ?? null,
      lastStep: steps.at(-1) ?? null,
      groups,
      layers: this.#layers,
      parts: STEP_PARTS,
      validations: this.#validations,
      checkpoints: this.#checkpoints,
      generations: this.#generations,
    };
  }

  async experts(): Promise<ExpertsReply> {
    await this.#file.update();
    return this.#experts.reply();
  }

  async ranks(): Promise<RanksReply> {
    await this.#file.update();
    return this.#lanes.reply(this.#generations);
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
    this.#hasTimes = true;
  }

  add(record: MetricsRecord): void {
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
        });
        break;
      case 'heartbeat':
        this.#addHeartbeat(record);
    }
  }

  #addHeartbeat(heartbeat: MetricsRecordOf<'heartbeat'>): void {
    this.#lanes.add(heartbeat);
    this.#memory.put('time', heartbeat.time);
    // 0 for a process that has ended.
    for (const { rank, residentBytes } of heartbeat.ranks)
      this.#memory.put(`rank.${rank}`, residentBytes || null);
    this.#memory.endRow();
  }

  #addStep(step: MetricsRecordOf<'step'>): void {
    const isTimed = !Number.isNaN(step.time);
    this.#hasTimes &&= isTimed;
    this.#lastTime = isTimed ? step.time : this.#lastTime + step.stepMs;
    appendStep(this.#steps, step, this.#lastTime);
    const layers = step.layers ?? [];
    if (this.#layers.length === 0) this.#layers = layers.map(({ layer }) => layer);
    this.#experts.add(step.step, layers);
  }

  /** The rows up to a cursor; none if the file has been replaced since. */
  #position(cursor: string | undefined): {
    rows: { readonly steps: number; readonly memory: number };
    replaces: boolean;
  } {
    const [epoch, steps, memory] = (cursor ?? '').split('.').map(Number);
    const isKnown = epoch === this.#epoch && steps <= this.#steps.numRows && memory <= this.#memory.numRows;
    return isKnown
      ? { rows: { steps, memory }, replaces: false }
      : { rows: { steps: 0, memory: 0 }, replaces: true };
  }

  #range({ fromStep, toStep }: MetricsQuery, after: number): [number, number] {
    const steps = this.#steps.column('step');
    const from = fromStep === undefined ? after : Math.max(after, lowerBound(steps, fromStep));
    const to = toStep === undefined ? steps.length : lowerBound(steps, toStep + 1);
    return [from, Math.max(from, to)];
  }

  #group(
    table: NumberTable,
    {
      leading,
      names,
      from,
      to,
      query,
    }: {
      readonly leading: readonly string[];
      readonly names: readonly string[];
      readonly from: number;
      readonly to: number;
      readonly query: MetricsQuery;
    },
  ): Columns {
    const keys = leading.length === 0 ? ['time'] : leading;
    const rows = downsample(
      keys.map((name) => table.column(name)),
      from,
      to,
      query.maxPoints,
    );
    const always = table === this.#steps ? ['step', 'time'] : ['time'];
    return table.pick([...new Set([...always, ...names])], rows);
  }
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
