import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { rankProgram } from '@locmoe/test-kit';
import { barrier } from 'locmoe/internal/collectives/barrier';
import type { Transport } from 'locmoe/internal/collectives/transport';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { openDataset } from 'locmoe/internal/data/dataset';
import { createLoader } from 'locmoe/internal/data/loader';
import { collectNow, collectSeldom } from 'locmoe/internal/garbage-collection';
import { kernels, wrapKernels } from 'locmoe/internal/ops/kernels/choose-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { homeRanksOfDomain } from 'locmoe/internal/worker/home-ranks';
import { createTrainState } from 'locmoe/internal/worker/state';
import { trainStep } from 'locmoe/internal/worker/train-step';
import { mean, median, timeOf } from '../../statistics.js';
import { recordedKernels } from './recorded-kernels.js';
import { type BillRow, Recorder } from './recorder.js';

// A rank of `bench step --bill`: trains with the other ranks, and times every operation. Started by bill.ts.

export interface BillArgs {
  readonly config: RunConfig;
  readonly datasetDir: string;
  /** Number of steps before those that count. */
  readonly warmUps: number;
  readonly steps: number;
}

/** Rates that a rank reaches while all other ranks measure the same. */
export interface Limits {
  /** Products of [1024, 1024] by [1024, 1024], forward. */
  readonly flopPerS: number;
  /** Sums of two vectors of 32 MB. */
  readonly bytesPerS: number;
}

/** Means over the steps. */
export interface RankBill {
  readonly stepMs: number;
  readonly partsMs: Readonly<Record<string, number>>;
  readonly rows: readonly BillRow[];
  readonly gcMs: number;
  readonly limits: Limits;
}

rankProgram(async (transport, args: BillArgs): Promise<RankBill> => {
  const { config, datasetDir, warmUps, steps } = args;
  collectSeldom();
  const state = createTrainState(config, transport, null);
  const limits = limitsOf(transport);
  const recorder = new Recorder();
  wrapKernels((chosen) => recordedKernels(chosen, recorder));
  recordTensorFlow(recorder);
  const batchesOf = openBatches(config, transport, datasetDir);
  const train = (step: number) => trainStep(state, { step, batches: batchesOf(step) }).report;
  for (let step = 1; step <= warmUps; step++) train(step);
  collectNow();
  const observer = new PerformanceObserver(() => undefined);
  observer.observe({ entryTypes: ['gc'] });
  recorder.take();
  const reports = Array.from({ length: steps }, (_, i) => train(warmUps + 1 + i));
  const rows = recorder.take();
  // Garbage collections are reported only when the event loop turns.
  await setImmediate();
  const gcMs = observer.takeRecords().reduce((sum, { duration }) => sum + duration, 0);
  const meanOf = (of: (report: (typeof reports)[number]) => number) => mean(reports.map(of));
  return {
    stepMs: meanOf(({ stepMs }) => stepMs),
    partsMs: Object.fromEntries(
      Object.keys(reports[0]!.partsMs).map((part) => [part, meanOf(({ partsMs }) => partsMs[part]!)]),
    ),
    rows: rows.map(({ operation, calls, ms, flops, bytes }) => ({
      operation,
      calls: calls / steps,
      ms: ms / steps,
      flops: flops / steps,
      bytes: bytes / steps,
    })),
    gcMs: gcMs / steps,
    limits,
  };
});

/** Opens this rank's micro-batches by step. */
function openBatches(config: RunConfig, { topology }: Transport, datasetDir: string) {
  const { data, model, seed, train } = config;
  const { rank, worldSize } = topology;
  const { microBatches } = train;
  const loader = createLoader({
    dataset: openDataset(datasetDir, { verify: false }),
    weights: data.weights,
    seed,
    globalBatch: train.globalBatch / microBatches,
    seqLen: model.seqLen,
    rank,
    worldSize,
    homeRanksOfDomain: homeRanksOfDomain(config, topology),
  });
  return (step: number) =>
    Array.from({ length: microBatches }, (_, i) => loader.batchForStep((step - 1) * microBatches + i));
}

/** Times TensorFlow's own operations by name: gates, losses, and whatever no kernel of ours does. */
function recordTensorFlow(recorder: Recorder): void {
  type Kernel = { readonly kernelName?: string };
  const engine = tf.engine() as unknown as { runKernelFunc(kernel: Kernel): unknown };
  const run = engine.runKernelFunc.bind(engine);
  engine.runKernelFunc = (kernel) =>
    kernel.kernelName === undefined
      ? run(kernel)
      : recorder.time(
          `TensorFlow ${kernel.kernelName}`,
          () => ({ flops: 0, bytes: 0 }),
          () => run(kernel),
        );
}

const SIDE = 1024;
const FLOATS = 8 << 20;
const REPETITIONS = 9;

/** Measures the hardware limits of operations, on all ranks at once, as in a training step. */
function limitsOf(transport: Transport): Limits {
  return tf.tidy(() => {
    const square = tf.ones([SIDE, SIDE]) as tf.Tensor2D;
    const [x, y] = [tf.ones([FLOATS]), tf.ones([FLOATS])];
    const msOf = (call: () => tf.Tensor) => {
      const times = Array.from({ length: REPETITIONS }, () => {
        barrier(transport, { purpose: 'limits' });
        return timeOf(() => call().dispose());
      });
      return median(times);
    };
    const productMs = msOf(() => kernels().matMul(square, square, false).value);
    const sumMs = msOf(() => kernels().add(x, y));
    return { flopPerS: (2e3 * SIDE ** 3) / productMs, bytesPerS: (12e3 * FLOATS) / sumMs };
  });
}
