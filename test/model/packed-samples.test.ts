import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { Batch } from '../../src/data/batch.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { ROUTER_NAMES } from '../../src/routing/index.js';
import { expectClose, positionsOf, randomIntegers, randomValues, tinyConfig } from './support.js';

interface Sample {
  readonly tokenIds: Int32Array;
  readonly targets: Int32Array;
  readonly counted: readonly number[];
}

/** Samples of 6 positions in all, the sequence length of `tinyConfig`. */
const SAMPLES: readonly Sample[] = [[0, 1, 1], [1], [0, 1]].map((counted, i) => ({
  tokenIds: randomIntegers(`sample ${i}`, counted.length, 257),
  targets: randomIntegers(`targets ${i}`, counted.length, 257),
  counted,
}));
const DOMAIN = 1;

function packed(samples: readonly Sample[]): Batch {
  const joined = (of: (sample: Sample) => ArrayLike<number>) =>
    Int32Array.from(samples.flatMap((sample) => Array.from(of(sample))));
  const tokenIds = joined(({ tokenIds }) => tokenIds);
  const counted = Uint8Array.from(joined(({ counted }) => counted));
  return {
    numSequences: 1,
    seqLen: tokenIds.length,
    tokenIds,
    targets: joined(({ targets }) => targets),
    domains: Int32Array.of(DOMAIN),
    packed: {
      positions: positionsOf(samples.map(({ counted }) => counted.length)),
      counted,
      numCounted: counted.reduce((sum, each) => sum + each, 0),
    },
  };
}

function build(router: (typeof ROUTER_NAMES)[number]): LanguageModel {
  const free = { router, capacityFactor: null, auxiliaryLossWeight: 0, localityLossWeight: 0 } as const;
  const hashed = router === 'hash' && { numExperts: 16, expertsPerToken: 4, lookBack: 2 };
  const moe = { ...free, expertGroups: 2, ...hashed };
  const model = new LanguageModel(tinyConfig({ moe }), soloTransport());
  for (const { values, ranges } of [model.parameters.shared, model.parameters.expert])
    for (const { name, begin, end, shape } of ranges)
      if (shape.length === 2) values.set(randomValues(name, end - begin, 0.4), begin);
  model.parameters.pushValues();
  return model;
}

function lossOf(model: LanguageModel, batch: Batch): number {
  return tf.tidy(() => model.loss(batch, { training: false }).crossEntropy.dataSync()[0]);
}

function hiddenOf(model: LanguageModel, batch: Batch): number[] {
  return tf.tidy(() => [...model.hidden(batch, { training: false }).hiddenTD.dataSync()]);
}

function gradientsOf(model: LanguageModel, batch: Batch): Float32Array {
  model.parameters.computeGradients(() => model.loss(batch, { training: true }).crossEntropy);
  model.skipStep();
  return Float32Array.of(...model.parameters.shared.gradients, ...model.parameters.expert.gradients);
}

describe.each(ROUTER_NAMES)('packed samples, router %s', (router) => {
  it('have the loss and the gradient of each alone, weighted by its tokens that count', () => {
    const model = build(router);
    const counts = SAMPLES.map(({ counted }) => counted.filter((each) => each === 1).length);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const mean = (of: (alone: Batch) => number) =>
      SAMPLES.reduce((sum, sample, i) => sum + (counts[i] / total) * of(packed([sample])), 0);
    expect(lossOf(model, packed(SAMPLES))).toBeCloseTo(
      mean((alone) => lossOf(model, alone)),
      5,
    );
    const whole = gradientsOf(model, packed(SAMPLES));
    const parts = SAMPLES.map((sample) => gradientsOf(model, packed([sample])));
    const scale = Math.max(...whole.map(Math.abs));
    const expected = whole.map((_, at) =>
      parts.reduce((sum, gradients, i) => sum + (counts[i] / total) * gradients[at], 0),
    );
    expectClose(
      whole.map((value) => value / scale),
      expected.map((value) => value / scale),
      1e-4,
    );
    model.dispose();
  });

  it('do not see each other: states are those of a sample alone, wherever it stands', () => {
    const model = build(router);
    const alone = SAMPLES.map((sample) => hiddenOf(model, packed([sample])));
    for (const order of ['012', '201']) {
      const places = [...order].map(Number);
      const states = hiddenOf(model, packed(places.map((i) => SAMPLES[i])));
      expectClose(
        states,
        places.flatMap((i) => alone[i]),
        1e-4,
      );
    }
    model.dispose();
  });
});
