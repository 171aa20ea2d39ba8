import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import type { Batch } from '../../src/data/batch.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { tf } from '../../src/ops/tensorflow.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { createTrainState, inheritModel } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { savedState } from './saved-state.js';
import { batchesOf } from './step-batches.js';

const NUM_LAYERS = 3;
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-inherit-'));
let dense: Checkpoint;
let denseLoss: number;

const [batch] = batchesOf(1) as [Batch];

beforeAll(() => {
  const config = tinyConfig({ model: { numDenseLayers: NUM_LAYERS, numSparseLayers: 0 } });
  const state = createTrainState(config, soloTransport(), null);
  for (let step = 1; step <= 20; step++) trainStep(state, { step, batches: [batch] });
  dense = savedState(state, folder, 20);
  denseLoss = lossOf(state.model, false);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function lossOf(model: LanguageModel, training: boolean): number {
  return tf.tidy(() => model.loss(batch, { training }).crossEntropy.dataSync()[0]);
}

/** Losses of a model with inherited weights, in evaluation and in training. */
function losses(moe: Partial<RunConfig['moe']>, noise = 0): number[] {
  const config = tinyConfig({
    model: { numDenseLayers: 1, numSparseLayers: NUM_LAYERS - 1 },
    moe: { capacityFactor: null, ...moe },
  });
  const model = new LanguageModel(config, soloTransport());
  inheritModel(model, dense, { noise, seed: 1 });
  return [false, true].map((training) => lossOf(model, training));
}

const asDense = () => Array.from({ length: 2 }, () => expect.closeTo(denseLoss, 5));

it.each(ROUTER_NAMES)(
  'a model with router %s that inherits from a dense one begins with its loss',
  (router) => {
    // The softmax over the one expert of a group is one, whatever the gate.
    const weightOne = { router, numExperts: 2, expertGroups: 2, deviceGroups: 1 };
    // In deepseek the weight of a single expert is its sigmoid; the weights of two are normalised to sum to one.
    if (router === 'deepseek') Object.assign(weightOne, { numExperts: 4, expertsPerToken: 2 });
    expect(losses(weightOne)).toEqual(asDense());
    // With different experts the loss differs.
    expect(losses(weightOne, 0.5)).not.toEqual(asDense());
  },
);

it.each([
  ['hash', true],
  ['locmoe-plus', true],
  ['expert-choice', true],
  ['switch', false],
  ['locmoe', false],
  ['moge', false],
  ['deepseek', false],
] as const)('with four experts a token, weights of %s sum to one: %s', (router, sumToOne) => {
  const found = losses({ router, numExperts: 4, expertGroups: 1 });
  if (sumToOne) expect(found).toEqual(asDense());
  else for (const loss of found) expect(Math.abs(loss - denseLoss)).toBeGreaterThan(1e-3);
});

it.each(['switch', 'locmoe', 'deepseek'] as const)(
  'weights of %s sum to one where a token has two experts',
  (router) => {
    expect(losses({ router, numExperts: 4, expertsPerToken: 2 })).toEqual(asDense());
  },
);
