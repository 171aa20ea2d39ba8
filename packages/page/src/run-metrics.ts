import { type MetricsRecord, type MetricsRecordOf, meanLoss, Throughput } from '@locmoe/run-format';
import type { GenerationPoint, RankSpeedPoint, ValidationPoint } from './api-types.js';
import { ExpertLoad } from './expert-load.js';
import { appendMemory } from './memory-columns.js';
import { appendStep } from './metric-columns.js';
import { NumberTable } from './number-table.js';
import { type Mutable, RankLanes } from './rank-lanes.js';

/** Number of steps over which the speed is measured. */
const SPEED_STEPS = 50;
/** Number of ranges of skipped steps that are kept; the oldest are dropped. */
const MAX_SKIPPED = 500;

/** The state beside the tables, as JSON. */
interface Points {
  layers: number[];
  validations: ValidationPoint[];
  checkpoints: { step: number; directory: string }[];
  generations: Mutable<GenerationPoint>[];
  /** First and last step of each range. */
  skipped: [from: number, to: number][];
  speeds: readonly RankSpeedPoint[];
  lastTime: number;
  tokens: number;
  hasTimes: boolean;
  /** Row of the first step of the last generation. */
  generationRow: number;
}

/** The state that an index keeps for a run, apart from the rows of its tables. */
export interface SavedMetrics {
  readonly points: object;
  readonly lanes: object;
  readonly experts: object;
  /** Counts of the experts, as bytes. */
  readonly bytes: Buffer;
}

/**
 * The metrics of a run as the page needs them: for each step the values that charts draw, and sums of the
 * rest.
 */
export class RunMetrics {
  /** Each column takes 8 bytes per row. */
  readonly steps = new NumberTable(Float64Array);
  /** Rows by layer; with an index, earlier rows are on disk. */
  readonly layerSteps = new NumberTable(Float32Array);
  readonly memory = new NumberTable(Float64Array);
  readonly experts = new ExpertLoad();
  readonly lanes = new RankLanes();
  points: Points;
  #throughput: Throughput;

  /** @param startedAt ms since 1970, from which the times of steps without a recorded time are counted */
  constructor(startedAt: number) {
    const none = { layers: [], validations: [], checkpoints: [], generations: [], skipped: [], speeds: [] };
    this.points = { ...none, lastTime: startedAt, tokens: 0, hasTimes: true, generationRow: 0 };
    this.#throughput = this.#newThroughput();
  }

  /** Tables whose rows an index keeps, in the index's order. */
  get tables(): readonly NumberTable[] {
    return [this.steps, this.memory, this.layerSteps];
  }

  /** Speed over the last steps of the current generation; null before the second step. */
  get speed(): { readonly tokensPerS: number; readonly secondsPerStep: number } | null {
    const { tokensPerS, secondsPerStep } = this.#throughput;
    return tokensPerS === 0 ? null : { tokensPerS, secondsPerStep };
  }

  /** @param offset byte offset of the record's line */
  add(record: MetricsRecord, offset: number): void {
    const { points } = this;
    const last = points.generations.at(-1);
    if (last !== undefined && record.type !== 'generation')
      last.lastTime = Math.max(last.lastTime, record.time);
    switch (record.type) {
      case 'step':
        this.#addStep(record, offset);
        break;
      case 'validation':
        points.validations.push({ step: record.step, loss: meanLoss(record), domains: record.domains });
        break;
      case 'checkpoint':
        points.checkpoints.push({ step: record.step, directory: record.directory });
        break;
      case 'generation': {
        const { time, generation, resumedFrom } = record;
        points.generations.push({ time, generation, resumedFrom, lastTime: time });
        points.generationRow = this.steps.numRows;
        this.lanes.begin(time);
        this.#throughput = this.#newThroughput();
        break;
      }
      case 'heartbeat':
        this.#addHeartbeat(record);
    }
  }

  save(): SavedMetrics {
    const { frame, bytes } = this.experts.save();
    return { points: this.points, lanes: this.lanes.save(), experts: frame, bytes };
  }

  /** Restores the state; the tables must have their rows already. */
  restore({ points, lanes, experts, bytes }: SavedMetrics): void {
    this.points = points as Points;
    this.lanes.restore(lanes);
    this.experts.restore(experts, bytes);
    this.#throughput = this.#newThroughput();
    const { steps } = this;
    const { numRows } = steps;
    const [step, time, tokens] = [steps.column('step'), steps.column('time'), steps.column('tokens')];
    const { lastTime } = this.points;
    for (let row = Math.max(this.points.generationRow, numRows - SPEED_STEPS); row < numRows; row++) {
      this.points.lastTime = time[row]!;
      this.#throughput.add(step[row]!, tokens[row]! - (tokens[row - 1] ?? 0));
    }
    this.points.lastTime = lastTime;
  }

  #addHeartbeat(heartbeat: MetricsRecordOf<'heartbeat'>): void {
    this.lanes.add(heartbeat);
    appendMemory(this.memory, heartbeat);
    const speeds = heartbeat.ranks.flatMap(({ rank, ownMs, lostShare }) =>
      ownMs === undefined || lostShare === undefined ? [] : [{ rank, ownMs, lostShare }],
    );
    // A generation that has not trained yet has no speeds.
    if (speeds.length > 0) this.points.speeds = speeds;
  }

  #addStep(step: MetricsRecordOf<'step'>, offset: number): void {
    const { points } = this;
    const isTimed = !Number.isNaN(step.time);
    points.hasTimes &&= isTimed;
    points.lastTime = isTimed ? step.time : points.lastTime + step.stepMs;
    points.tokens += step.tokens;
    const { lastTime: time, tokens } = points;
    appendStep({ steps: this.steps, layers: this.layerSteps }, step, { time, tokens, offset });
    if (step.loss === null) this.#skip(step.step);
    this.#throughput.add(step.step, step.tokens);
    if (points.layers.length === 0) points.layers = step.layers.map(({ layer }) => layer);
    this.experts.add(step.step, step.layers, step.links);
  }

  #skip(step: number): void {
    const { skipped } = this.points;
    const last = skipped.at(-1);
    if (last?.[1] === step - 1) last[1] = step;
    else skipped.push([step, step]);
    if (skipped.length > MAX_SKIPPED) skipped.shift();
  }

  /** Starts a measurement of speed without the number of steps, as no remaining time is requested. */
  #newThroughput(): Throughput {
    return new Throughput(0, Infinity, () => this.points.lastTime);
  }
}
