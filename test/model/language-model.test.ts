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

/** Returns the configuration of a model of family llama whose heads share keys and values. */
function llama(overrides: Parameters<typeof tinyConfig>[0] = {}): RunConfig {
  const model = { family: 'llama', numKeyValueHeads: 1, ropeTheta: 100, ...overrides.model } as const;
  return tinyConfig({ ...overrides, model });
}

const LORA: RunConfig['train']['lora'] = { rank: 2, alpha: 3, on: ['attention', 'experts'] };

/** A model whose weights are large enough for every part to matter. */
function build(config: RunConfig): LanguageModel {
  const model = new LanguageModel(config, soloTransport());
  for (const { values, ranges } of [model.parameters.shared, model.parameters.expert])
    for (const { name, begin, end, shape } of ranges)
      if (shape.length === 2) values.set(randomValues(name, end - begin, 0.4), begin);
      // Keeps away from the kink of the ReLU, which the differences must not straddle.
      else if (name.endsWith('router.bias')) values.fill(4, begin, end);
  model.parameters.pushValues();
  return model;
}

/** Choices that a forward pass dropped. */
function droppedIn(layers: LossOutput['layers']): number {
  const sum = (counts: unknown) => (counts as Int32Array).reduce((total, count) => total + count, 0);
  return layers.reduce((total, { measures }) => total + sum(measures.routed) - sum(measures.kept), 0);
}

/** The objective, with the cross-entropy averaged in double precision, and the routing of all tokens. */
function evaluate(model: LanguageModel): { objective: number; routed: string } {
  return tf.tidy(() => {
    const { sequenceLosses, auxiliaryLoss, layers } = model.loss(batch, { training: true });
    const crossEntropy = sequenceLosses.reduce((sum, loss) => sum + loss, 0) / numSequences;
    return {
      objective: crossEntropy + auxiliaryLoss.dataSync()[0],
      routed: layers.map(({ measures: { routed, kept } }) => `${routed} ${kept}`).join(';'),
    };
  });
}

/**
 * Checks by central differences whether the slope of the objective along a unit direction in one parameter is
 * `analytic`. The loss jumps where a token changes its expert, so the step is halved until all evaluations route alike.
 *
 * @returns null, or the slope that was found instead
 */
function otherSlope(
  model: LanguageModel,
  group: ParameterGroup,
  { name, begin, end }: ParameterRange,
  direction: Float64Array,
  analytic: number,
): number | null {
  const values = group.values.subarray(begin, end);
  const start = values.slice();
  const move = (distance: number) => {
    values.set(start.map((value, i) => value + distance * direction[i]));
    model.parameters.pushValues();
  };
  const quotient = (step: number) => {
    const [above, below] = [step, -step].map((distance) => {
      move(distance);
      return evaluate(model);
    });
    move(0);
    return { slope: (above.objective - below.objective) / (2 * step), routed: [above.routed, below.routed] };
  };
  const isClose = (slope: number) => Math.abs(analytic - slope) <= 1e-4 + 0.01 * Math.abs(analytic);
  for (let step = 0.02; step > 0.002; step /= 2) {
    const wide = quotient(step);
    if (wide.routed[0] !== wide.routed[1]) continue;
    if (isClose(wide.slope)) return null;
    const near = quotient(step / 2);
    if (near.routed.some((routed) => routed !== wide.routed[0])) continue;
    // Where two tokens swap places at an expert the counts stay, but the loss jumps: the quotients then disagree.
    if (Math.abs(wide.slope - near.slope) > 2e-3 + 0.05 * Math.abs(near.slope)) continue;
    // Richardson's extrapolation cancels the second-order error in the step.
    const slope = (4 * near.slope - wide.slope) / 3;
    return isClose(slope) ? null : slope;
  }
  return expect.fail(`${name}: a token sits on the border of two experts`);
}

const RANDOM_DIRECTIONS = NIGHTLY && usesOneDnn() ? 4 : 1;

/**
 * Checks for every trainable parameter the derivative along its own gradient, which must be the gradient's norm, and
 * along random directions. Float32 noise of the loss (below 5e-7) over the step (0.02, rarely less) stays below 1e-4;
 * the tolerance of 1 % allows for higher derivatives.
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
        const numeric = otherSlope(model, group, range, direction, analytic);
        if (numeric !== null) expect.fail(`${range.name}: slope ${numeric}, by its gradient ${analytic}`);
      }
    }
}

function unit(direction: Float64Array): Float64Array {
  const length = Math.hypot(...direction);
  return direction.map((value) => value / length);
}

/** Capacities that do not change after the first step. */
const FIXED = { capacityBatches: 1_000_000, capacityInterval: 1_000_000 };

/** Tokens are dropped, and both auxiliary losses of a router count. */
const LOSSES = { capacityFactor: 0.8, auxiliaryLossWeight: 0.2, localityLossWeight: 0.2, ...FIXED };
const NARROW = { dFeedForward: 6, sharedExperts: 2 };

describe('gradients of the whole model against finite differences', () => {
  const MODELS: Readonly<Record<string, RunConfig>> = {
    'switch, groups': tinyConfig({ moe: { expertGroups: 2, auxiliaryLossWeight: 0.2 } }),
    'llama, top 2, shared experts, biases': llama({
      model: { attentionBias: true },
      moe: { expertsPerToken: 2, auxiliaryLossWeight: 0.2, ...NARROW },
    }),
    'switch, top 2, tokens dropped, no query layer, flat': tinyConfig({
      model: { queryLayer: false },
      moe: { expertsPerToken: 2, ...LOSSES },
      cluster: { exchange: 'flat' },
    }),
    'hash, pairs': tinyConfig({
      moe: { router: 'hash', expertGroups: 2, sharedExperts: 1 },
      train: { lora: LORA },
    }),
    'locmoe, learned groups': tinyConfig({
      model: { dModel: 16 },
      moe: { router: 'locmoe', learnedGroups: true, ...LOSSES },
    }),
    'deepseek, top 2': tinyConfig({ moe: { router: 'deepseek', expertsPerToken: 2, ...LOSSES } }),
    'expert-choice': tinyConfig({
      moe: { router: 'expert-choice', expertGroups: 2, capacityFactor: 1.1, ...FIXED },
    }),
    'moge, narrow and shared experts': tinyConfig({ moe: { router: 'moge', ...LOSSES, ...NARROW } }),
    'llama, norms of heads, tied embedding': llama({
      model: { qkNorm: true, headDim: 6, tiedEmbedding: true },
    }),
    'llama, pairs': llama({ moe: { expertsPerToken: 2 }, train: { lora: LORA } }),
    'locmoe-plus': tinyConfig({
      model: { dModel: 16 },
      moe: {
        router: 'locmoe-plus',
        affinityThreshold: 0.7,
        maxExpertsPerToken: 2,
        affinityShare: 0.8,
        ...LOSSES,
      },
    }),
    'locmoe-plus, learned groups, expert choice': tinyConfig({
      moe: {
        router: 'locmoe-plus',
        selection: 'ecr',
        learnedGroups: true,
        expertGroups: 2,
        temperature: 0.5,
        ...FIXED,
        capacityFactor: 1.1,
      },
    }),
  };
  // The flow of gradients through the model does not depend on the kernels, so with TensorFlow's one model of each
  // family is enough.
  const tried = Object.entries(MODELS).slice(0, NIGHTLY || usesOneDnn() ? undefined : 2);

  it.each(tried)('%s', (_, config) => {
    const model = build(config);
    checkAllGradients(model);
    model.dispose();
  });
});

describe('loss and logits', () => {
  const config = tinyConfig({ moe: { expertGroups: 2 } });

  it.each([
    ['switch', config],
    ['llama', llama()],
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
    // Training steps give the experts thresholds, so that evaluation drops tokens.
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
    // Normed states times embeddings of variance 2 / (5 d) give logits of variance 0.4, which shift the loss by at most
    // half of that.
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
  // The position falls from layer to layer; the embedding, at the front, is last.
  expect(places[0]).toBeLessThan(shared.gradients.length);
  expect(new Set(places).size).toBeGreaterThan(3);
  expect(places.at(-1)).toBeGreaterThan(0);
  expect(model.parameters.gradientsWholeFrom).toBe(0);
  model.dispose();
});

it.each([
  ['of all parameters', tinyConfig()],
  ['of low-rank pairs', llama({ train: { lora: LORA } })],
])('training steps %s leave no tensor behind', (_, config) => {
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
  for (let i = 0; i < 3; i++) step();
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
