import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { evaluate } from '../../src/inference/inference.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { createTrainState, loadModel } from '../../src/worker/state.js';
import { type TrainState, trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { savedState } from './saved-state.js';
import { batchesOf, validationBatchOf } from './step-batches.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-state-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bits({ model }: TrainState): Uint32Array[] {
  const { shared, expert } = model.parameters;
  return [
    ...[shared, expert].flatMap(({ values, m, v }) => [values, m, v]),
    ...model.routerState.values(),
  ].map((values) => new Uint32Array(values.slice().buffer));
}

const save = (state: TrainState) => savedState(state, folder, 4);

const MIXTRAL = {
  family: 'llama',
  numKeyValueHeads: 1,
  attentionBias: true,
  qkNorm: true,
  headDim: 6,
} as const;

describe.each([...ROUTER_NAMES.map((router) => [router, {}] as const), ['switch', MIXTRAL] as const])(
  'a checkpoint of a run with router %s, model %j',
  (router, model) => {
    const hashed = router === 'hash' && { numExperts: 8, expertsPerToken: 4, lookBack: 2 };
    const config = tinyConfig({
      model,
      moe: {
        router,
        capacityFactor: 0.9,
        capacityInterval: 3,
        capacityBatches: 3,
        learnedGroups: true,
        ...hashed,
      },
    });

    it('goes on to the bit, the state of the router too', () => {
      const transport = soloTransport();
      const first = createTrainState(config, transport, null);
      let step = 1;
      for (; step <= 4; step++) trainStep(first, { step, batches: batchesOf(step) });
      const checkpoint = save(first);
      const second = createTrainState(config, transport, checkpoint);
      expect(bits(second)).toEqual(bits(first));
      if (router === 'locmoe-plus') expect(checkpoint.has('layers.1.router.threshold')).toBe(true);
      for (; step <= 8; step++) {
        const [a, b] = [first, second].map(
          (state) => trainStep(state, { step, batches: batchesOf(step) }).report,
        );
        expect(b.loss).toBe(a.loss);
        expect(b.layers).toEqual(a.layers);
      }
      expect(bits(second)).toEqual(bits(first));
    });
  },
);

it('the table of a hash router comes from the checkpoint, whatever the seed of the run', () => {
  const config = tinyConfig({ moe: { router: 'hash' } });
  const first = createTrainState(config, soloTransport(), null);
  const checkpoint = save(first);
  const table = checkpoint.read('layers.1.router.table', [config.model.vocabSize]);
  expect([...table].sort((a, b) => a - b)).toEqual([...table.keys()]);
  const second = createTrainState({ ...config, seed: config.seed + 1 }, soloTransport(), checkpoint);
  const loss = ({ model }: TrainState) =>
    model.loss(batchesOf(1)[0]!, { training: false }).crossEntropy.dataSync()[0];
  expect(loss(second)).toBe(loss(first));
});

it('a checkpoint with tensors that the model has no place for is refused', () => {
  const state = createTrainState(tinyConfig({ model: { numSparseLayers: 2 } }), soloTransport(), null);
  const checkpoint = save(state);
  const shallower = new LanguageModel(tinyConfig(), soloTransport());
  expect(() => loadModel(shallower, checkpoint)).toThrow(
    expect.objectContaining({
      code: 'BAD_CHECKPOINT',
      message: expect.stringMatching(
        /step-000004: the model has no place for tensor layers\.2\..* of .*safetensors$/,
      ),
    }),
  );
});

it('an evaluation whose loss is not finite says which domain and checkpoint', () => {
  const state = createTrainState(tinyConfig(), soloTransport(), null);
  state.model.parameters.shared.values.fill(1e30);
  const checkpoint = save(state);
  const { config } = state;
  const model = new LanguageModel(config, soloTransport());
  loadModel(model, checkpoint);
  const inference = { checkpoint, config, model };
  expect(() => evaluate(inference, [validationBatchOf(batchesOf(1)[0]!)])).toThrow(
    expect.objectContaining({
      code: 'NOT_FINITE',
      message: expect.stringMatching(
        /^checkpoint .*step-000004: the loss of domain a is NaN; .*take an earlier/,
      ),
    }),
  );
});
