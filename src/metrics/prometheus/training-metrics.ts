import {
  type CheckpointReport,
  type GlobalStep,
  STEP_MEASURES,
  STEP_PARTS,
  type StepPart,
  type Validation,
} from '@locmoe/run-format';
import { exponentialBuckets, Histogram, type Registry } from 'prom-client';
import { nodeOf } from '../../collectives/topology.js';
import type { StepReport } from '../../rpc/generated/messages.js';
import type { RunListener, RunSnapshot } from '../../run/run-listener.js';
import { type CounterSeries, counter, DeferredWork, gauge } from './instruments.js';

/** 5 ms to 82 s. */
const STEP_BUCKETS_S = exponentialBuckets(0.005, 2, 15);

const PART_LABELS: Readonly<Record<StepPart, string>> = {
  forward: 'forward',
  backward: 'backward',
  exchange: 'exchange',
  allReduce: 'all_reduce',
  optimizer: 'optimizer',
  waiting: 'waiting',
};

type RankTimes = Pick<StepReport, 'rank' | 'partsMs' | 'allToAllMs' | 'allToAllWaitMs'>;

/** Series of the time of a rank, by what it was spent on. */
interface RankSeries {
  readonly parts: Readonly<Record<StepPart, CounterSeries>>;
  /** Time of all-to-alls. */
  readonly transfer: CounterSeries;
  readonly waiting: CounterSeries;
}

/** Training: loss, speed, the parts of a step's time, checkpoints. */
export class TrainingMetrics implements RunListener {
  /** Gauges of what the schema of a step declares for Prometheus. */
  readonly #measures;
  readonly #step;
  readonly #stepAt;
  readonly #tokensPerS;
  readonly #steps;
  readonly #skipped;
  readonly #tokens;
  readonly #duration;
  readonly #parts;
  readonly #allToAll;
  readonly #ranks = new Map<number, RankSeries>();
  readonly #deferred = new DeferredWork();
  readonly #bytesSameNode;
  readonly #bytesOtherNode;
  readonly #validationLoss;
  readonly #checkpointStep;
  readonly #checkpointAt;
  readonly #checkpointSeconds;
  readonly #checkpointBytes;
  readonly #validationSeconds;
  readonly #remaining;
  /** The last one, and when it was done. */
  #lastStep: { readonly step: number; readonly atMs: number } | null = null;

  constructor(
    registry: Registry,
    readonly workersPerNode: number,
  ) {
    this.#measures = STEP_MEASURES.flatMap(({ name, prometheus, help }) =>
      prometheus === undefined ? [] : [{ name, gauge: gauge(registry, prometheus, help) }],
    );
    this.#step = gauge(registry, 'locmoe_step', 'Number of the last step that all ranks have done');
    this.#stepAt = gauge(
      registry,
      'locmoe_last_step_timestamp_seconds',
      'When the last step was done, in seconds since 1970',
    );
    this.#tokensPerS = gauge(
      registry,
      'locmoe_tokens_per_second',
      'Tokens trained on in a second of wall clock over the last 50 steps, validations and checkpoints included',
    );
    this.#steps = counter(
      registry,
      'locmoe_steps_total',
      'Steps done under this coordinator; one that is done again counts again',
    );
    this.#skipped = counter(
      registry,
      'locmoe_skipped_steps_total',
      'Steps under this coordinator that were not applied because a loss or the gradient was not finite',
    );
    this.#skipped.add(0);
    this.#tokens = counter(registry, 'locmoe_tokens_total', 'Tokens trained on under this coordinator');
    this.#duration = new Histogram({
      name: 'locmoe_step_duration_seconds',
      help: 'Time of a step on its slowest rank, in seconds',
      buckets: STEP_BUCKETS_S,
      registers: [registry],
    });
    this.#parts = counter(
      registry,
      'locmoe_step_part_seconds_total',
      `Time of a rank in a part of its steps, in seconds: ${Object.values(PART_LABELS).join(', ')}`,
      ['node', 'rank', 'part'],
    );
    this.#allToAll = counter(
      registry,
      'locmoe_all_to_all_seconds_total',
      'Time of a rank inside all-to-alls, in seconds: moving bytes (transfer) and waiting for others (waiting)',
      ['node', 'rank', 'activity'],
    );
    const bytes = counter(
      registry,
      'locmoe_exchange_bytes_total',
      "Bytes that all ranks sent in the exchanges of the sparse layers, forward and backward, counts and scores included, to other ranks of the sender's node (same_node) and to other nodes (other_node)",
      ['tier'],
    );
    this.#bytesSameNode = bytes.series({ tier: 'same_node' });
    this.#bytesOtherNode = bytes.series({ tier: 'other_node' });
    this.#validationLoss = gauge(
      registry,
      'locmoe_validation_loss',
      'Mean cross-entropy of the last validation by domain, in nats per token',
      ['domain'],
    );
    this.#checkpointStep = gauge(registry, 'locmoe_checkpoint_step', 'Step of the newest checkpoint');
    this.#checkpointAt = gauge(
      registry,
      'locmoe_checkpoint_timestamp_seconds',
      'When the newest checkpoint under this coordinator was saved, in seconds since 1970; its age is the time since',
    );
    this.#checkpointSeconds = gauge(
      registry,
      'locmoe_checkpoint_duration_seconds',
      'Time that the newest checkpoint under this coordinator took to save, in seconds; ranks train on meanwhile',
    );
    this.#checkpointBytes = gauge(
      registry,
      'locmoe_checkpoint_size_bytes',
      'Size of the newest checkpoint under this coordinator, in bytes',
    );
    this.#validationSeconds = gauge(
      registry,
      'locmoe_validation_duration_seconds',
      'Time that the last validation took after its step, in seconds',
    );
    this.#remaining = gauge(
      registry,
      'locmoe_remaining_seconds',
      'Time until the run ends at the speed of its last 50 steps, in seconds',
    );
  }

  /** The step of the checkpoint that the run starts from. */
  resumedFrom(step: number): void {
    this.#checkpointStep.set(step);
  }

  rankStep({ rank, partsMs, allToAllMs, allToAllWaitMs }: StepReport): void {
    const times = { rank, partsMs, allToAllMs, allToAllWaitMs };
    this.#deferred.add(() => this.#takeTimes(times));
  }

  #takeTimes({ rank, partsMs, allToAllMs, allToAllWaitMs }: RankTimes): void {
    let series = this.#ranks.get(rank);
    if (series === undefined) {
      series = this.#seriesOf(rank);
      this.#ranks.set(rank, series);
    }
    for (const part of STEP_PARTS) series.parts[part].add((partsMs[part] ?? 0) / 1000);
    series.transfer.add((allToAllMs - allToAllWaitMs) / 1000);
    series.waiting.add(allToAllWaitMs / 1000);
  }

  #seriesOf(rank: number): RankSeries {
    const place = { node: nodeOf(this, rank), rank };
    const parts = STEP_PARTS.map((part) => [part, this.#parts.series({ ...place, part: PART_LABELS[part] })]);
    return {
      parts: Object.fromEntries(parts),
      transfer: this.#allToAll.series({ ...place, activity: 'transfer' }),
      waiting: this.#allToAll.series({ ...place, activity: 'waiting' }),
    };
  }

  step(step: GlobalStep, { tokensPerS, secondsLeft }: RunSnapshot): void {
    const atMs = Date.now();
    this.#lastStep = { step: step.step, atMs: performance.now() };
    this.#deferred.add(() => this.#takeStep(step, { tokensPerS, secondsLeft, atMs }));
  }

  /** Counts the steps since the last call. */
  refresh(): void {
    this.#deferred.finish();
  }

  #takeStep(
    step: GlobalStep,
    {
      tokensPerS,
      secondsLeft,
      atMs,
    }: Pick<RunSnapshot, 'tokensPerS' | 'secondsLeft'> & { readonly atMs: number },
  ): void {
    for (const { name, gauge: of } of this.#measures) of.set(step[name] ?? null);
    if (step.loss === null) this.#skipped.add(1);
    this.#step.set(step.step);
    this.#stepAt.set(atMs / 1000);
    this.#tokensPerS.set(tokensPerS === 0 ? null : tokensPerS);
    this.#remaining.set(tokensPerS === 0 ? null : secondsLeft);
    this.#steps.add(1);
    this.#tokens.add(step.tokens);
    if (Number.isFinite(step.stepMs)) this.#duration.observe(step.stepMs / 1000);
    this.#bytesSameNode.add(step.bytesSameNode);
    this.#bytesOtherNode.add(step.bytesOtherNode);
  }

  validation({ step, domains }: Validation): void {
    if (this.#lastStep?.step === step)
      this.#validationSeconds.set((performance.now() - this.#lastStep.atMs) / 1000);
    for (const { domain, loss } of domains) this.#validationLoss.set(loss, { domain });
  }

  checkpoint({ step, bytes, seconds }: CheckpointReport): void {
    this.#checkpointStep.set(step);
    this.#checkpointAt.set(Date.now() / 1000);
    this.#checkpointSeconds.set(seconds ?? null);
    this.#checkpointBytes.set(bytes ?? null);
  }
}
