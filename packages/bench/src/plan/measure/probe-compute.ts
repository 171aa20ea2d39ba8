import { barrier } from 'locmoe/internal/collectives/barrier';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import type { Transport } from 'locmoe/internal/collectives/transport';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { Batch } from 'locmoe/internal/data/batch';
import { kernels } from 'locmoe/internal/ops/kernels/choose-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { createTrainState } from 'locmoe/internal/worker/state';
import { trainStep } from 'locmoe/internal/worker/train-step';
import { median } from '../../statistics.js';
import { timeOf } from '../../time-of.js';
import type { ProbeResult } from './probe-case.js';

const WARM_UP_STEPS = 3;
const PRODUCTS = 20;

/** Times the product [rows, inner] x [inner, columns] with its two gradients. */
export function timeProduct(rows: number, inner: number, columns: number): ProbeResult {
  return tf.tidy(() => {
    const x = tf.randomNormal([rows, inner]) as tf.Tensor2D;
    const w = tf.randomNormal([inner, columns]) as tf.Tensor2D;
    const dy = tf.ones([rows, columns]);
    const once = () =>
      tf.tidy(() => {
        const { value, saved, backward } = kernels().matMul(x, w, false);
        for (const each of [value, ...backward(dy, saved)]) each?.dataSync();
      });
    once();
    return { kind: 'product', ms: median(Array.from({ length: PRODUCTS }, () => timeOf(once))) };
  });
}

/**
 * Times training steps of a separate model per rank, which meets the others wherever a real run would
 * exchange.
 */
export function timeSteps(real: Transport, config: RunConfig, steps: number): ProbeResult {
  let meetings = 0;
  const meet = () => {
    meetings++;
    if (real.topology.worldSize > 1) barrier(real, { purpose: 'lockstep' });
  };
  const lockstep: Transport = {
    ...soloTransport(),
    transfer: meet,
    start() {
      meet();
      return { finish() {} };
    },
    takeStats: () => real.takeStats(),
  };
  const state = createTrainState(config, lockstep, null);
  const batch = randomBatch(config);
  for (let step = 1; step <= WARM_UP_STEPS; step++) trainStep(state, { step, batches: [batch] });
  meetings = 0;
  const reports = Array.from(
    { length: steps },
    (_, i) => trainStep(state, { step: WARM_UP_STEPS + 1 + i, batches: [batch] }).report,
  );
  state.model.dispose();
  const medianOf = (of: (report: (typeof reports)[number]) => number) => median(reports.map(of));
  return {
    kind: 'step',
    stepMs: medianOf(({ stepMs }) => stepMs),
    forwardMs: medianOf(({ partsMs }) => partsMs.forward!),
    backwardMs: medianOf(({ partsMs }) => partsMs.backward!),
    updateMs: medianOf(({ stepMs, partsMs }) => {
      const others = ['forward', 'backward', 'exchange', 'allReduce', 'waiting'] as const;
      return others.reduce((rest, part) => rest - partsMs[part]!, stepMs);
    }),
    meetings: meetings / steps,
  };
}

/** Tokens that every router spreads over its experts; domains alternate. */
function randomBatch({ model, train, data }: RunConfig): Batch {
  const random = new CounterRandom(1, 'probe');
  const numTokens = train.globalBatch * model.seqLen;
  const tokens = () => Int32Array.from(random.permutation(numTokens), (value) => value % model.vocabSize);
  return {
    numSequences: train.globalBatch,
    seqLen: model.seqLen,
    tokenIds: tokens(),
    targets: tokens(),
    domains: Int32Array.from({ length: train.globalBatch }, (_, i) => i % data.domains.length),
  };
}
