import { rankProgram } from '@locmoe/test-kit';
import { barrier } from 'locmoe/internal/collectives/barrier';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import { otherRanks } from 'locmoe/internal/collectives/topology';
import type { Transport } from 'locmoe/internal/collectives/transport';
import type { RunConfig } from 'locmoe/internal/config/schema';
import type { Batch } from 'locmoe/internal/data/batch';
import { kernels } from 'locmoe/internal/ops/kernels/choose-kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { processInfo } from 'locmoe/internal/os/process-info';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { createTrainState } from 'locmoe/internal/worker/state';
import { trainStep } from 'locmoe/internal/worker/train-step';
import { median, timeOf } from '../../statistics.js';
import type { ProbeCase, ProbeOutcome, ProbeResult } from './probe.js';

// A rank of a probe: runs the cases in order with the other ranks. Started by probe.ts.

rankProgram((transport, cases: readonly ProbeCase[]): ProbeOutcome => {
  let residentBytes = 0;
  const results = cases.map((each) => {
    const result = run(transport, each);
    residentBytes ||= processInfo(process.pid).residentBytes;
    return result;
  });
  return { results, residentBytes };
});

function run(transport: Transport, each: ProbeCase): ProbeResult {
  switch (each.kind) {
    case 'step':
      return timeSteps(transport, each.config, each.steps);
    case 'product':
      return timeProduct(each.rows, each.inner, each.columns);
    case 'exchange':
      return timeExchange(transport, each);
  }
}

const WARM_UP_STEPS = 3;
const PRODUCTS = 20;

/** Times the product [rows, inner] x [inner, columns] with its two gradients. */
function timeProduct(rows: number, inner: number, columns: number): ProbeResult {
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
 * Times training steps of a separate model per rank, which synchronizes with the other ranks wherever a real
 * run would exchange.
 */
function timeSteps(real: Transport, config: RunConfig, steps: number): ProbeResult {
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

/** Makes tokens that every router spreads over its experts; domains alternate. */
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

const WARM_UP = 5;
/**
 * Number of passes through a small feed-forward network between two exchanges, about 1.5 ms each. Every case
 * has equally many, because the time of an exchange is the difference between two cases.
 */
const PASSES = 6;

/**
 * Times intervals of work, each followed by an exchange. In a loop of exchanges alone, caches stay warm and
 * agents never compete with workers for cores; in training they do, which is most of the cost of an exchange.
 */
function timeExchange(
  transport: Transport,
  { bytes, aggregate, repetitions }: Extract<ProbeCase, { kind: 'exchange' }>,
): ProbeResult {
  return tf.tidy(() => {
    const work = stretch();
    const exchange = exchangeOf(transport, bytes ?? 0, aggregate);
    const once = () => {
      work();
      if (bytes !== null) exchange();
    };
    // The exchange gives all ranks a common start.
    exchange();
    for (let i = 0; i < WARM_UP; i++) once();
    return { kind: 'exchange', ms: median(Array.from({ length: repetitions }, () => timeOf(once))) };
  });
}

function stretch(): () => void {
  const x = tf.randomNormal([512, 128]) as tf.Tensor2D;
  const wIn = tf.randomNormal([128, 512]) as tf.Tensor2D;
  const wOut = tf.randomNormal([512, 128]) as tf.Tensor2D;
  const network = kernels().network('fixed');
  const pass = () =>
    tf.tidy(() => {
      network.forward(x, [wIn, wOut]).y.dataSync();
    });
  return () => {
    for (let i = 0; i < PASSES; i++) pass();
  };
}

/** Prepares an all-to-all, and verifies it once. */
function exchangeOf(transport: Transport, bytes: number, aggregate: boolean): () => void {
  const peers = otherRanks(transport.topology);
  const mine = new Uint8Array(bytes).fill(transport.topology.rank + 1);
  const received = peers.map(() => new Uint8Array(bytes));
  const exchange = () =>
    transport.transfer(
      { kind: 'all-to-all', purpose: 'probe' },
      peers.map((to) => ({ to, parts: [mine] })),
      peers.map((from, i) => ({ from, parts: [received[i]!] })),
      { aggregate },
    );
  exchange();
  peers.forEach((from, i) => {
    if (!received[i]!.every((byte) => byte === from + 1))
      throw new Error(`bytes of rank ${from} arrived wrong`);
  });
  return exchange;
}
