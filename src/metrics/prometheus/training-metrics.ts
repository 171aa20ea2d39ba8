import {
  type GlobalStep,
  STEP_MEASURES,
  STEP_PARTS,
  type StepMeasure,
  type StepPart,
} from '@locmoe/run-format';
import { exponentialBuckets, Histogram, type Registry } from 'prom-client';
import { nodeOf } from '../../collectives/topology.js';
import type { StepReport } from '../../rpc/generated/messages.js';
import { DeferredWork, instrumentsOf, type RefreshedListener } from './instruments.js';

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

/**
 * Creates the metrics of the training: loss, speed, the parts of a step's time, checkpoints.
 *
 * @param resumedFrom step of the checkpoint that the run starts from; null for a new run
 */
export function trainingMetrics(
  registry: Registry,
  workersPerNode: number,
  resumedFrom: number | null,
): RefreshedListener {
  const { counter, gauge } = instrumentsOf(registry);
  const deferred = new DeferredWork();
  const takeStep = stepMetrics(registry);
  const validationLoss = gauge(
    'locmoe_validation_loss',
    'Mean cross-entropy of the last validation by domain, in nats per token',
    ['domain'],
  );
  const validationSeconds = gauge(
    'locmoe_validation_duration_seconds',
    'Time that the last validation took after its step, in seconds',
  );
  const checkpointStep = gauge('locmoe_checkpoint_step', 'Step of the newest checkpoint');
  const checkpointAt = gauge(
    'locmoe_checkpoint_timestamp_seconds',
    'When the newest checkpoint under this coordinator was saved, in seconds since 1970; its age is the time since',
  );
  const checkpointSeconds = gauge(
    'locmoe_checkpoint_duration_seconds',
    'Time that the newest checkpoint under this coordinator took to save, in seconds; ranks train on meanwhile',
  );
  const checkpointBytes = gauge(
    'locmoe_checkpoint_size_bytes',
    'Size of the newest checkpoint under this coordinator, in bytes',
  );
  checkpointStep.set(resumedFrom);
  const checkpointFailures = counter(
    'locmoe_checkpoint_failures_total',
    'Checkpoints under this coordinator that the disk had no room for; the run went on without them',
  );
  checkpointFailures.add(0);
  const partSeconds = counter(
    'locmoe_step_part_seconds_total',
    `Time of a rank in a part of its steps, in seconds: ${Object.values(PART_LABELS).join(', ')}`,
    ['node', 'rank', 'part'],
  );
  const allToAll = counter(
    'locmoe_all_to_all_seconds_total',
    'Time of a rank inside all-to-alls, in seconds: moving bytes (transfer) and waiting for others (waiting)',
    ['node', 'rank', 'activity'],
  );
  const seriesOf = (rank: number) => {
    const place = { node: nodeOf({ workersPerNode }, rank), rank };
    return {
      parts: STEP_PARTS.map((part) => ({
        part,
        seconds: partSeconds.series({ ...place, part: PART_LABELS[part] }),
      })),
      transfer: allToAll.series({ ...place, activity: 'transfer' }),
      waiting: allToAll.series({ ...place, activity: 'waiting' }),
    };
  };
  const ranks = new Map<number, ReturnType<typeof seriesOf>>();
  const takeTimes = (rank: number, { partsMs, allToAllMs, allToAllWaitMs }: RankTimes) => {
    const series = ranks.get(rank) ?? seriesOf(rank);
    ranks.set(rank, series);
    for (const { part, seconds } of series.parts) seconds.add((partsMs[part] ?? 0) / 1000);
    series.transfer.add((allToAllMs - allToAllWaitMs) / 1000);
    series.waiting.add(allToAllWaitMs / 1000);
  };
  let last: { readonly step: number; readonly atMs: number } | null = null;
  return {
    rankStep({ rank, partsMs, allToAllMs, allToAllWaitMs }) {
      // Only these fields are kept: a whole report, with its layers, would be held until the next scrape.
      deferred.add(() => takeTimes(rank, { partsMs, allToAllMs, allToAllWaitMs }));
    },
    step(step, { tokensPerS, secondsLeft }) {
      const atMs = Date.now();
      last = { step: step.step, atMs: performance.now() };
      deferred.add(() => takeStep(step, { tokensPerS, secondsLeft, atMs }));
    },
    validation({ step, domains }) {
      if (last?.step === step) validationSeconds.set((performance.now() - last.atMs) / 1000);
      for (const { domain, loss } of domains) validationLoss.set(loss, { domain });
    },
    checkpoint({ step, bytes, seconds }) {
      checkpointStep.set(step);
      checkpointAt.set(Date.now() / 1000);
      checkpointSeconds.set(seconds ?? null);
      checkpointBytes.set(bytes ?? null);
    },
    checkpointFailed: () => checkpointFailures.add(1),
    refresh: () => deferred.finish(),
  };
}

type RankTimes = Pick<StepReport, 'partsMs' | 'allToAllMs' | 'allToAllWaitMs'>;

interface Speed {
  readonly tokensPerS: number;
  readonly secondsLeft: number;
  /** Wall clock, ms since 1970. */
  readonly atMs: number;
}

/** Creates the metrics of completed steps; the returned function records one step. */
function stepMetrics(registry: Registry): (step: GlobalStep, speed: Speed) => void {
  const { counter, gauge } = instrumentsOf(registry);
  const measures = STEP_MEASURES.flatMap(({ name, prometheus, help }: StepMeasure) =>
    prometheus === undefined ? [] : [{ name, value: gauge(prometheus, help) }],
  );
  const number = gauge('locmoe_step', 'Number of the last step that all ranks have done');
  const stepAt = gauge(
    'locmoe_last_step_timestamp_seconds',
    'When the last step was done, in seconds since 1970',
  );
  const tokensPerSecond = gauge(
    'locmoe_tokens_per_second',
    'Tokens trained on in a second of wall clock over the last 50 steps, validations and checkpoints included',
  );
  const remaining = gauge(
    'locmoe_remaining_seconds',
    'Time until the run ends at the speed of its last 50 steps, in seconds',
  );
  const steps = counter(
    'locmoe_steps_total',
    'Steps done under this coordinator; one that is done again counts again',
  );
  const skipped = counter(
    'locmoe_skipped_steps_total',
    'Steps under this coordinator that were not applied because a loss or the gradient was not finite',
  );
  skipped.add(0);
  const tokens = counter('locmoe_tokens_total', 'Tokens trained on under this coordinator');
  const duration = new Histogram({
    name: 'locmoe_step_duration_seconds',
    help: 'Time of a step on its slowest rank, in seconds',
    buckets: STEP_BUCKETS_S,
    registers: [registry],
  });
  const bytes = counter(
    'locmoe_exchange_bytes_total',
    "Bytes that all ranks sent in the exchanges of the sparse layers, forward and backward, counts and scores included, to other ranks of the sender's node (same_node) and to other nodes (other_node)",
    ['tier'],
  );
  const bytesSameNode = bytes.series({ tier: 'same_node' });
  const bytesOtherNode = bytes.series({ tier: 'other_node' });
  return (step, { tokensPerS, secondsLeft, atMs }) => {
    for (const { name, value } of measures) value.set(step[name] ?? null);
    if (step.loss === null) skipped.add(1);
    number.set(step.step);
    stepAt.set(atMs / 1000);
    tokensPerSecond.set(tokensPerS === 0 ? null : tokensPerS);
    remaining.set(tokensPerS === 0 ? null : secondsLeft);
    steps.add(1);
    tokens.add(step.tokens);
    if (Number.isFinite(step.stepMs)) duration.observe(step.stepMs / 1000);
    bytesSameNode.add(step.bytesSameNode);
    bytesOtherNode.add(step.bytesOtherNode);
  };
}
