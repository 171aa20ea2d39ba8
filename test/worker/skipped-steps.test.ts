import { spawnRanks } from '@locmoe/test-kit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { armFailpoint } from '../../src/failpoint.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { explainNotFinite } from '../../src/worker/not-finite.js';
import { SkippedSteps } from '../../src/worker/skipped-steps.js';
import { createTrainState } from '../../src/worker/state.js';
import { type TrainState, trainStep } from '../../src/worker/train-step.js';
import { expectClose, tinyConfig } from '../model/support.js';
import { type SkippingRank, type SkippingTask, trainSkipping } from './skipping.js';
import { batchesOf } from './step-batches.js';

/** Everything that a checkpoint holds, as bits. */
function contentsOf({ model }: TrainState): string[] {
  const { shared, expert } = model.parameters;
  const arrays = [shared, expert].flatMap(({ values, m, v }) => [values, m, v]);
  return [...arrays, ...model.routerState.values()].map((array) =>
    Buffer.from(array.slice().buffer).toString('hex'),
  );
}

function newState(overrides: Parameters<typeof tinyConfig>[0] = {}): TrainState {
  const state = createTrainState(tinyConfig(overrides), soloTransport(), null);
  onTestFinished(() => state.model.dispose());
  return state;
}

/** Changes parameters. */
function set(state: TrainState, name: string, change: (values: Float32Array) => void): void {
  change(state.model.parameters.values(name));
  state.model.parameters.pushValues();
}

/** Steps until one throws; returns what it throws. */
function failureOf(state: TrainState): unknown {
  const skipped = new SkippedSteps(state, { info() {}, warn() {} });
  for (let step = 1; step < 10; step++) {
    const batches = batchesOf(step, 2);
    try {
      skipped.add(trainStep(state, { step, batches }), { batches, quote: () => `the text of step ${step}` });
    } catch (error) {
      return error;
    }
  }
  return null;
}

describe.each(ROUTER_NAMES)('a step that is not finite, router %s', (router) => {
  const moe = { router, capacityFactor: 1, capacityInterval: 2, capacityBatches: 3 } as const;

  it('leaves no trace, in micro-batches', () => {
    const parts = 2;
    const [state, without] = [newState({ moe }), newState({ moe })];
    for (const step of [1, 2, 3, 4, 5]) {
      const before = contentsOf(state);
      const isBad = step === 3;
      if (isBad) armFailpoint('step.gradients:nan');
      const { report, found } = trainStep(state, { step, batches: batchesOf(step, parts) });
      expect(report.skipped).toBe(isBad);
      if (isBad) {
        expect(contentsOf(state)).toEqual(before);
        expect(found).toEqual({ loss: expect.any(Number), norm: Number.NaN, numBadLosses: 0 });
        // Reports travel as JSON.
        expect(JSON.parse(JSON.stringify(report))).toEqual(report);
      } else {
        const { loss, gradientNorm } = trainStep(without, { step, batches: batchesOf(step, parts) }).report;
        expectClose([report.loss, report.gradientNorm], [loss, gradientNorm], 1e-5);
      }
    }
    // TensorFlow's threads add in varying order.
    for (const [name, values] of state.model.routerState)
      expectClose(values, without.model.routerState.get(name)!, 1e-5);
  });

  it('leaves the state of the router finite when activations are not', () => {
    const state = newState({ moe });
    trainStep(state, { step: 1, batches: batchesOf(1) });
    const before = contentsOf(state);
    const good = state.model.parameters.values('embed.tokens').slice();
    set(state, 'embed.tokens', (values) => values.fill(Number.POSITIVE_INFINITY));
    const { report, found } = trainStep(state, { step: 2, batches: batchesOf(2) });
    expect(report).toMatchObject({ skipped: true, loss: 0, auxiliaryLoss: 0, gradientNorm: 0, layers: [] });
    expect(found.numBadLosses).toBe(1);
    set(state, 'embed.tokens', (values) => values.set(good));
    expect(contentsOf(state)).toEqual(before);
    expect(trainStep(state, { step: 3, batches: batchesOf(3) }).report.skipped).toBe(false);
  });
});

describe('three in a row end the generation and name', () => {
  it('a parameter, before the activations and gradients that it spoils', () => {
    const state = newState({ model: { numSparseLayers: 2 } });
    set(state, 'layers.2.experts.3.w_out', (values) => values.fill(Number.NaN, 5, 6));
    expect(failureOf(state)).toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringMatching(
        /^steps 1 to 3 .* parameter layers\.2\.experts\.3\.w_out \(layer 2, expert 3\), which holds NaN; the text of .* log$/,
      ),
      context: { layer: 2 },
    });
  });

  it('an activation, where all parameters are finite', () => {
    const state = newState({ model: { numSparseLayers: 2 } });
    set(state, 'layers.1.ln_ffn.gain', (values) => values.fill(3e38));
    expect(failureOf(state)).toMatchObject({
      message: expect.stringContaining('is the input of layers.1.experts (layer 1)'),
      context: { layer: 1 },
    });
  });

  it('a gradient, where only that is not finite', () => {
    armFailpoint('step.gradients:1-3:nan');
    expect(failureOf(newState())).toMatchObject({
      message: expect.stringContaining('the gradient of layers.1.experts.0.w_in (layer 1, expert 0)'),
    });
  });

  it('of several gradients the one nearest the loss, from which the backward pass took it along', () => {
    const state = newState({ model: { numSparseLayers: 2 } });
    const gradients = new Map(
      [...state.model.parameters.entries()].map((each) => [each.name, each.gradients]),
    );
    for (const name of ['layers.0.ln_attn.gain', 'layers.2.ln_ffn.gain', 'layers.1.ln_ffn.gain'])
      gradients.get(name)![0] = Number.NaN;
    expect(explainNotFinite(state, batchesOf(1, 2), 5)).toMatchObject({
      text: expect.stringContaining('the gradient of layers.2.ln_ffn.gain (layer 2)'),
      layer: 2,
    });
  });
});

it('a checkpoint that is due after a skipped step is saved after the next that is applied', () => {
  armFailpoint('step.gradients:4-5:nan,step.gradients:8:nan');
  const state = newState();
  const skipped = new SkippedSteps(state, { info() {}, warn() {} });
  const due: number[] = [];
  for (let step = 1; step <= 12; step++) {
    const batches = batchesOf(step);
    skipped.add(trainStep(state, { step, batches }), { batches, quote: () => '' });
    if (skipped.isCheckpointDue(step, 4)) due.push(step);
  }
  expect(due).toEqual([6, 9, 12]);
});

describe('a NaN in the gradient of one rank', () => {
  const run = (task: SkippingTask) =>
    spawnRanks<SkippingRank>(
      { numNodes: 2, workersPerNode: 1 },
      new URL('./skipped-steps.program.ts', import.meta.url),
      { args: task, abortOnFailure: true, deadlineMs: 60_000 },
    );

  it('makes all skip the step, which keeps them equal; one rank alone has the same losses', async () => {
    const task = { steps: 5, fail: 'step.gradients:3:nan', rank: 1 };
    const { ranks } = await run(task);
    const results = ranks.map(({ result }) => result!);
    for (const { losses, hashes } of results) {
      expect(losses.map((loss) => loss === null)).toEqual([false, false, true, false, false]);
      expect(hashes).toEqual(results[0].hashes);
      expect(hashes[2]).toBe(hashes[1]);
      expect(hashes[3]).not.toBe(hashes[2]);
    }
    expect(results.map(({ warnings }) => warnings)).toEqual([
      ['step 3 is skipped: the gradient norm is NaN (1 in a row; 3 end the generation)'],
      [],
    ]);
    const alone = trainSkipping(soloTransport(), { ...task, rank: 0 });
    const mean = (step: number) => results.reduce((sum, { losses }) => sum + losses[step]! / 2, 0);
    expectClose(
      [0, 1, 3, 4].map(mean),
      [0, 1, 3, 4].map((step) => alone.losses[step]!),
      1e-5,
    );
  });

  it('three times ends that rank with the account, and the wait of the other', async () => {
    const { ranks } = await run({ steps: 9, fail: 'step.gradients:4-6:nan', rank: 1 });
    expect(ranks.map(({ error }) => error?.code)).toEqual(['ABORTED', 'NOT_FINITE']);
    expect(ranks[1].error!.message).toMatch(
      /^steps 4 to 6 were not finite: lower train\.learningRate .*; .* of layers\.1\.experts\.2\.w_in \(layer 1, expert 2\)[^:]*$/,
    );
  });
});
