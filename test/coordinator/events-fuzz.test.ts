import { STEP_PARTS } from '@locmoe/run-format';
import fc from 'fast-check';
import { beforeEach, expect, it } from 'vitest';
import { SAVE_OPERATION } from '../../src/checkpoint/fence.js';
import { shardFiles } from '../../src/checkpoint/shards.js';
import { loadConfig } from '../../src/config/resolve.js';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { ERROR_CODES, TrainerError } from '../../src/errors.js';
import { PrometheusMetrics } from '../../src/metrics/prometheus/prometheus-metrics.js';
import type { AgentEvent } from '../../src/rpc/generated/messages.js';
import { VERSION } from '../../src/rpc/version.js';
import { RestartBudget } from '../../src/run/restart-budget.js';
import { coordinatorOf } from './coordinator-of.js';

const SEED = 20_260_101;
const config = loadConfig('tiny', { nodes: 2, workersPerNode: 1 });
const { numExperts } = config.moe;

let coordinator: Coordinator;

beforeEach(() => {
  coordinator = newCoordinator();
});

function newCoordinator(): Coordinator {
  const listeners = new PrometheusMetrics().begin({
    runId: 'r',
    generation: 1,
    config,
    resumedFrom: null,
    earlierFailures: [],
    earlierCosts: { restarts: 0, lostSteps: 0, lostSeconds: 0 },
    budget: new RestartBudget(config.cluster),
    disk: { numLost: 0 },
  });
  return coordinatorOf(config, { level: 'error', listeners, nodesAreReplaceable: true }).coordinator;
}

/** Two nodes, trained up to `begin`. */
function begin(): void {
  for (const port of [1, 2]) {
    const dataAddress = `127.0.0.1:${port}`;
    const { node } = coordinator.admission.join({ host: 'h', pid: port, dataAddress, version: VERSION });
    coordinator.admission.connect(node, dataAddress, { send: () => undefined, close: () => undefined });
  }
  for (const node of [0, 1]) coordinator.receive(node, { event: 'ready', ready: {} });
  expect(coordinator.lifecycle.state.kind).toBe('running');
}

/** Mostly what is right, so that what is wrong gets far. */
const mostly = <T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 15, arbitrary: right }, { weight: 1, arbitrary: wrong });
const uint32 = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom(2 ** 31, 2 ** 32 - 1));
const count = mostly(fc.nat(9), uint32);
const rank = mostly(fc.nat(1), uint32);
const step = mostly(fc.integer({ min: 1, max: 4 }), uint32);
const amount = mostly(fc.double({ min: 0, max: 9, noNaN: true }), fc.double());
const where = mostly(fc.integer({ min: -1, max: 3 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('', 'R', '\0\n'));
const byExpert = mostly(
  fc.array(count, { minLength: numExperts, maxLength: numExperts }),
  fc.array(count, { maxLength: 40 }),
);
const layer = fc.record({
  layer: mostly(fc.constant(config.model.numDenseLayers), uint32),
  routed: byExpert,
  kept: byExpert,
  overCapacity: byExpert,
  notChosen: byExpert,
  capacity: byExpert,
  sameWorker: count,
  sameNode: count,
  otherNode: count,
  rowBytes: count,
  cosineSum: amount,
  cosineCount: count,
});
const generation = mostly(fc.constant(1), uint32);
const shardFile = mostly(
  fc.constantFrom(...[0, 1].flatMap((each) => Object.values(shardFiles(each, 2)))),
  text,
);
const sha256 = mostly(fc.constant('0'.repeat(64)), text);
const events = {
  ready: fc.constant({}),
  leaving: fc.constant({}),
  finished: fc.record({ stoppedEarly: fc.boolean() }),
  stop: fc.record({ reason: text }),
  logs: fc.record({ lines: fc.array(text, { maxLength: 3 }), dropped: count }),
  heartbeat: fc.record({
    workers: fc.array(
      fc.record({
        rank,
        pid: count,
        step,
        phase: text,
        operation: text,
        processState: text,
        residentBytes: count,
        idleMs: amount,
        layer: where,
        sequence: count,
        waitingFor: where,
        stalledMs: amount,
        stoppedMs: amount,
      }),
      { maxLength: 2 },
    ),
    logQueueLines: count,
  }),
  step: fc.record({
    step,
    rank,
    loss: amount,
    auxiliaryLoss: amount,
    gradientNorm: amount,
    learningRate: amount,
    tokens: count,
    stepMs: amount,
    bytesSameNode: amount,
    bytesOtherNode: amount,
    allToAllMs: amount,
    allToAllWaitMs: amount,
    cpuMs: amount,
    queuedMs: amount,
    layers: fc.array(layer, { maxLength: 2 }),
    skipped: fc.boolean(),
    partsMs: fc.dictionary(mostly(fc.constantFrom(...STEP_PARTS), text), amount, { maxKeys: 6 }),
  }),
  validation: fc.record({
    step,
    domains: fc.array(
      fc.record({
        domain: mostly(fc.constantFrom(...config.data.domains), text),
        loss: amount,
        tokens: count,
      }),
      { maxLength: 4 },
    ),
  }),
  saving: fc.record({
    rank,
    step,
    generation,
    bytes: count,
    isLast: fc.boolean(),
    keepStep: where,
    sharedCrc32: count,
    metrics: fc.dictionary(text, amount, { maxKeys: 2 }),
  }),
  shards: fc.record({
    rank,
    step,
    generation,
    noRoom: mostly(fc.constant(''), text),
    files: fc.array(fc.record({ file: shardFile, bytes: count, sha256, tensors: fc.array(text) }), {
      maxLength: 2,
    }),
  }),
  failure: fc.record({
    rank,
    pid: count,
    code: mostly(fc.constantFrom(...ERROR_CODES), text),
    message: text,
    step: where,
    layer: where,
    operation: text,
    timeMs: amount,
    exitCode: where,
    signal: text,
  }),
};
const event: fc.Arbitrary<AgentEvent> = fc.oneof(
  ...Object.entries(events).map(([kind, content]) =>
    (content as fc.Arbitrary<object>).map((each) => ({ event: kind, [kind]: each })),
  ),
) as unknown as fc.Arbitrary<AgentEvent>;

it('whatever members say is taken or refused, and breaks nothing of the coordinator', () => {
  let [taken, refused] = [0, 0];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1), event), { minLength: 20, maxLength: 40 }), (said) => {
      coordinator.close();
      coordinator = newCoordinator();
      begin();
      for (const [node, each] of said)
        try {
          coordinator.receive(node, each);
          taken++;
        } catch (error) {
          if (!(error instanceof TrainerError) || error.code !== 'BAD_MESSAGE') throw error;
          refused++;
        }
      // Without a culprit it would be an error of the coordinator itself, but for a bad stream, which is nobody's,
      // and for files that no rank has written.
      const { failure } = coordinator.lifecycle;
      return (
        failure === null ||
        failure.culprit !== null ||
        failure.error.context.operation === SAVE_OPERATION ||
        ['NODE_LOST', 'BAD_MESSAGE'].includes(failure.error.code)
      );
    }),
    { seed: SEED, numRuns: 150 },
  );
  expect(taken).toBeGreaterThan(1_000);
  expect(refused).toBeGreaterThan(300);
});
