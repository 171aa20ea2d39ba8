import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import type { Batch } from '../../src/data/batch.js';
import { LanguageModel, type LossOutput } from '../../src/model/language-model.js';
import { usesOneDnn } from '../../src/ops/kernels/choose-kernels.js';
import type { ParameterGroup, ParameterRange } from '../../src/parameters/parameters.js';
import { NIGHTLY } from '../nightly.js';
import { randomIntegers, randomValues, tinyConfig } from './support.js';

const numSequences = 2;
const seqLen = 6;

const batch: Batch = {
  numSequences,
  seqLen,
  tokenIds: randomIntegers('tokens', numSequences * seqLen, 257),
  targets: randomIntegers('targets', numSequences * seqLen, 257),
  domains: Int32Array.of(0, 1),
};

/** The other family, with heads that share keys and values. */
function mixtral(overrides: Parameters<typeof tinyConfig>[0] = {}): RunConfig {
  const model = { family: 'mixtral', numKeyValueHeads: 1, ropeTheta: 100, ...overrides.model } as const;
  return tinyConfig({ ...overrides, model });
}

const LORA: RunConfig['train']['lora'] = { rank: 2, alpha: 3, on: ['attention', 'experts'] };

/** A model whose weights are large enough for every part to matter. */
function build(config: RunConfig): LanguageModel {
  const model = new LanguageModel(config, soloTransport());
  for (const { values, ranges } of [model.parameters.shared, model.parameters.expert])
    for (const { name, begin, end, shape } of ranges)
      if (shape.length === 2) values.set(randomValues(name, end - begin, 0.4), begin);
      // Away from the kink of the ReLU, which differences must not straddle.
      else if (name.endsWith('router.bias')) values.fill(4, begin, end);
  model.parameters.pushValues();
  return model;
}

/** Choices that a forward pass dropped. */
function droppedIn(layers: LossOutput['layers']): number {
  const sum = (counts: Int32Array) => counts.reduce((total, count) => total + count, 0);
  return layers.reduce((total, { routedE, keptE }) => total + sum(routedE) - sum(keptE), 0);
}

/** The objective, cross-entropy averaged in double precision, and where tokens went. */
function evaluate(model: LanguageModel): { objective: number; routed: string } {
  return tf.tidy(() => {
    const { sequenceLosses, auxiliaryLoss, layers } = model.loss(batch, { training: true });
    const crossEntropy = sequenceLosses.reduce((sum, loss) => sum + loss, 0) / numSequences;
    return {
      objective: crossEntropy + auxiliaryLoss.dataSync()[0],
      routed: layers.map(({ routedE, keptE }) => `${routedE} ${keptE}`).join(';'),
    };
  });
}

/**
 * Slope of the objective by central differences along a direction of unit length in one parameter. The loss jumps where a
 * token changes its expert, so the step is halved until all its points route alike.
 */
function slope(model: LanguageModel, group: ParameterGroup, range: ParameterRange, direction: Float64Array) {
  const values = group.values.subarray(range.begin, range.end);
  const start = values.slice();
  const move = (distance: number) => {
    values.set(start.map((value, i) => value + distance * direction[i]));
    model.parameters.pushValues();
  };
  const at = (distance: number) => {
    move(distance);
    return evaluate(model);
  };
  for (let step = 0.02; step > 0.002; step /= 2) {
    const ends = [step, -step, step / 2, -step / 2].map(at);
    move(0);
    if (ends.some(({ routed }) => routed !== ends[0].routed)) continue;
    const [above, below, nearAbove, nearBelow] = ends.map(({ objective }) => objective);
    // Where two tokens swap places at an expert the counts stay, but the loss jumps: the quotients then disagree.
    const [wide, near] = [(above - below) / (2 * step), (nearAbove - nearBelow) / step];
    if (Math.abs(wide - near) > 2e-3 + 0.05 * Math.abs(near)) continue;
    // Richardson: the error of second order in the step cancels.
    return (4 * near - wide) / 3;
  }
  return expect.fail(`${range.name}: a token sits on the border of two experts`);
}

/** How gradients go through the model is the same with either kernels; TensorFlow's are the slower ones. */
const RANDOM_DIRECTIONS = NIGHTLY && usesOneDnn() ? 4 : 1;
const isTried = (name: string) => NIGHTLY || usesOneDnn() || /, (?:query layer|learned groups)/.test(name);

/**
 * For every parameter that is not frozen, the derivative along its own gradient, which must be the gradient's length, and along
 * random directions. Float32 noise of the loss (below 5e-7) over the step (0.02, rarely less) stays below 1e-4;
 * 1 % is for what is left of the higher derivatives.
 */
function checkAllGradients(model: LanguageModel): void {
  model.parameters.computeGradients(() => {
    const { crossEntropy, auxiliaryLoss } = model.loss(batch, { training: true });
    return tf.add(crossEntropy, auxiliaryLoss);
  });
  // The capacities that this pass has set hold from here on.
  model.endStep();
  for (const group of [model.parameters.shared, model.parameters.expert])
    for (const range of group.trained) {
      const gradient = Float64Array.from(group.gradients.subarray(range.begin, range.end));
      const length = Math.hypot(...gradient);
      const own = length === 0 ? gradient : gradient.map((value) => value / length);
      const random = Array.from({ length: RANDOM_DIRECTIONS }, (_, i) =>
        unit(Float64Array.from(randomValues(`${range.name} ${i}`, gradient.length))),
      );
      for (const direction of [own, ...random]) {
        const analytic = gradient.reduce((sum, value, i) => sum + value * direction[i], 0);
        const numeric = slope(model, group, range, direction);
        if (Math.abs(analytic - numeric) > 1e-4 + 0.01 * Math.abs(analytic))
          expect.fail(`${range.name}: slope ${numeric}, by its gradient ${analytic}`);
      }
    }
}

function unit(direction: Float64Array): Float64Array {
  const length = Math.hypot(...direction);
  return direction.map((value) => value / length);
}

/** Capacities that do not change after the first step. */
const FIXED = { capacityBatches: 1_000_000, capacityInterval: 1_000_000 };

describe('gradients of the whole model against finite differences', () => {
  const MODELS: readonly (readonly [string, RunConfig])[] = [
    ['switch, query layer', tinyConfig({ moe: { auxiliaryLossWeight: 0.2 } })],
    ['switch, no query layer', tinyConfig({ model: { queryLayer: false } })],
    ['switch, groups', tinyConfig({ moe: { expertGroups: 2, auxiliaryLossWeight: 0.2 } })],
    [
      'switch, tokens dropped, flat',
      tinyConfig({ moe: { capacityFactor: 0.5 }, cluster: { exchange: 'flat' } }),
    ],
    ['hash', tinyConfig({ moe: { router: 'hash', expertGroups: 2 } })],
    [
      'locmoe, both losses, groups',
      tinyConfig({
        moe: {
          router: 'locmoe',
          expertGroups: 2,
          auxiliaryLossWeight: 0.2,
          localityLossWeight: 0.2,
          ...FIXED,
        },
      }),
    ],
    [
      'locmoe, learned groups, tokens dropped',
      tinyConfig({
        model: { dModel: 16 },
        moe: { router: 'locmoe', learnedGroups: true, capacityFactor: 0.6, ...FIXED },
      }),
    ],
    [
      'switch, top 2, tokens dropped',
      tinyConfig({ moe: { expertsPerToken: 2, capacityFactor: 0.8, auxiliaryLossWeight: 0.2, ...FIXED } }),
    ],
    [
      'deepseek, top 2, tokens dropped',
      tinyConfig({
        moe: {
          router: 'deepseek',
          expertsPerToken: 2,
          capacityFactor: 0.8,
          auxiliaryLossWeight: 0.2,
          ...FIXED,
        },
      }),
    ],
    [
      'expert-choice',
      tinyConfig({ moe: { router: 'expert-choice', expertGroups: 2, capacityFactor: 1.1, ...FIXED } }),
    ],
    [
      'moge, tokens dropped',
      tinyConfig({ moe: { router: 'moge', capacityFactor: 0.8, auxiliaryLossWeight: 0.2, ...FIXED } }),
    ],
    [
      'moge, narrow and shared experts',
      tinyConfig({ moe: { router: 'moge', dFeedForward: 6, sharedExperts: 2 } }),
    ],
    [
      'mixtral, switch, top 2',
      mixtral({ moe: { expertsPerToken: 2, auxiliaryLossWeight: 0.2, sharedExperts: 1, dFeedForward: 6 } }),
    ],
    ['pangu-sigma, pairs', tinyConfig({ moe: { sharedExperts: 1 }, train: { lora: LORA } })],
    ['mixtral, biases', mixtral({ model: { attentionBias: true } })],
    ['mixtral, norms of heads', mixtral({ model: { qkNorm: true, headDim: 6 } })],
    ['mixtral, pairs', mixtral({ moe: { expertsPerToken: 2 }, train: { lora: LORA } })],
    ['mixtral, tied embedding', mixtral({ model: { tiedEmbedding: true, numKeyValueHeads: 2 } })],
    [
      'locmoe-plus, both losses, tokens dropped',
      tinyConfig({
        model: { dModel: 16 },
        moe: {
          router: 'locmoe-plus',
          capacityFactor: 0.8,
          affinityThreshold: 0.7,
          maxExpertsPerToken: 2,
          affinityShare: 0.8,
          ...FIXED,
          auxiliaryLossWeight: 0.2,
          localityLossWeight: 0.2,
        },
      }),
    ],
    [
      'locmoe-plus, learned groups, expert choice',
      tinyConfig({
        moe: {
          router: 'locmoe-plus',
          selection: 'ecr',
          learnedGroups: true,
          expertGroups: 2,
          capacityFactor: 1.1,
          temperature: 0.5,
          ...FIXED,
        },
      }),
    ],
  ];
  it.each(MODELS.filter(([name]) => isTried(name)))('%s', (_, config) => {
    const model = build(config);
    checkAllGradients(model);
    model.dispose();
  });
});

describe('loss and logits', () => {
  const config = tinyConfig({ moe: { expertGroups: 2 } });

  it.each([
    ['switch', config],
    ['mixtral', mixtral()],
    ['locmoe', tinyConfig({ moe: { router: 'locmoe', capacityFactor: 1 } })],
    ['expert-choice', tinyConfig({ moe: { router: 'expert-choice', capacityFactor: 1 } })],
    ['moge', tinyConfig({ moe: { router: 'moge', capacityFactor: 1 } })],
    ['deepseek', tinyConfig({ moe: { router: 'deepseek', biasUpdateRate: 0.1, capacityFactor: 1 } })],
    ['locmoe-plus', tinyConfig({ moe: { router: 'locmoe-plus', capacityFactor: 0.7 } })],
    [
      'locmoe-plus random',
      tinyConfig({ moe: { router: 'locmoe-plus', ranking: 'random', capacityFactor: 0.7 } }),
    ],
    [
      'locmoe-plus ecr',
      tinyConfig({ moe: { router: 'locmoe-plus', selection: 'ecr', capacityFactor: 1.1 } }),
    ],
  ])('the losses of a sequence are those of its prefixes: no token looks ahead (%s)', (_, routing) => {
    const model = build(routing);
    // Training steps give the experts thresholds, by which they drop tokens in evaluation.
    const other = { ...batch, tokenIds: randomIntegers('other tokens', numSequences * seqLen, 257) };
    for (let step = 0; step < 3; step++) {
      tf.tidy(() => void model.loss(other, { training: true }));
      model.endStep();
    }
    const { sequenceLosses, layers, crossEntropy } = model.loss(batch, { training: false });
    if (['expert-choice', 'locmoe-plus'].includes(routing.moe.router))
      expect(droppedIn(layers)).toBeGreaterThan(0);
    sequenceLosses.forEach((expected, b) => {
      let sum = 0;
      for (let s = 0; s < seqLen; s++) {
        const prefix = batch.tokenIds.slice(b * seqLen, b * seqLen + s + 1);
        const logits = model.logits(prefix, batch.domains[b]);
        sum += Math.log(logits.reduce((total, logit) => total + Math.exp(logit), 0));
        sum -= logits[batch.targets[b * seqLen + s]];
      }
      expect(sum / seqLen).toBeCloseTo(expected, 4);
    });
    expect(crossEntropy.dataSync()[0]).toBeCloseTo(sequenceLosses.reduce((a, b) => a + b) / numSequences, 5);
    model.dispose();
  });

  it('refuses a sequence that is empty or too long', () => {
    const model = build(config);
    for (const length of [0, seqLen + 1])
      expect(() => model.logits(new Int32Array(length), 0)).toThrow(
        expect.objectContaining({ code: 'BAD_INPUT' }),
      );
    model.dispose();
  });

  it('starts near the loss of a uniform guess', () => {
    const model = new LanguageModel(config, soloTransport());
    const loss = tf.tidy(() => model.loss(batch, { training: false }).crossEntropy.dataSync()[0]);
    // Normed states against embeddings of variance 2 / (5 d) give logits of variance 0.4: half of that is the most it shifts.
    expect(Math.abs(loss - Math.log(257))).toBeLessThan(0.2);
    model.dispose();
  });

  it('refuses a hidden size that the heads do not divide', () => {
    const bad = tinyConfig({ model: { numHeads: 3 } });
    expect(() => new LanguageModel(bad, soloTransport())).toThrow(/model\.numHeads 3/);
  });
});

it('in the backward pass gradients are whole from where the store says', () => {
  const model = build(tinyConfig());
  const { shared } = model.parameters;
  shared.gradients.fill(Number.NaN);
  const seen: { readonly from: number; readonly whole: Float32Array }[] = [];
  const onBackward = () => {
    const from = model.parameters.gradientsWholeFrom;
    seen.push({ from, whole: shared.gradients.slice(from) });
  };
  model.parameters.computeGradients(() => {
    const { crossEntropy, auxiliaryLoss } = model.loss(batch, { training: true, onBackward });
    return tf.add(crossEntropy, auxiliaryLoss);
  });
  for (const { from, whole } of seen) expect(whole).toEqual(shared.gradients.slice(from));
  const places = seen.map(({ from }) => from);
  expect(places).toEqual([...places].sort((a, b) => b - a));
  // It falls from layer to layer; the embedding, at the front, is last.
  expect(places[0]).toBeLessThan(shared.gradients.length);
  expect(new Set(places).size).toBeGreaterThan(3);
  expect(places.at(-1)).toBeGreaterThan(0);
  expect(model.parameters.gradientsWholeFrom).toBe(0);
  model.dispose();
});

it.each([
  ['of all parameters', tinyConfig()],
  ['of low-rank pairs', mixtral({ train: { lora: LORA } })],
])('twenty training steps %s leave no tensor behind', (_, config) => {
  const model = build(config);
  const step = () => {
    model.parameters.computeGradients(() => {
      const { crossEntropy, auxiliaryLoss } = model.loss(batch, { training: true });
      return tf.add(crossEntropy, auxiliaryLoss);
    });
    model.parameters.pushValues();
    model.logits(batch.tokenIds.slice(0, 3), 0);
  };
  step();
  const { numTensors, numBytes } = tf.memory();
  for (let i = 0; i < 20; i++) step();
  expect(tf.memory()).toMatchObject({ numTensors, numBytes });
  model.dispose();
});

it('names parameters as a dense checkpoint does, and experts by global id', () => {
  const model = new LanguageModel(tinyConfig(), soloTransport());
  const names = model.parameterSpecs.map(({ name }) => name);
  for (const name of [
    'embed.tokens',
    'embed.positions',
    'layers.0.ln_attn.gain',
    'layers.0.attn.qkv',
    'layers.0.ffn.w_in',
    'layers.1.router.weight',
    'layers.1.experts.3.w_out',
    'query.positions',
    'query.attn.kv',
    'ln_final.bias',
  ])
    expect(names).toContain(name);
  expect(new Set(names).size).toBe(names.length);
  model.dispose();
});
