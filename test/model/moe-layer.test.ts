import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import type { AllToAllForm } from '../../src/collectives/all-to-all.js';
import { Communicator } from '../../src/collectives/communicator.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { MoeLayer } from '../../src/model/moe-layer.js';
import { exactMatMul } from '../../src/ops/operations.js';
import type { ParameterStore } from '../../src/parameters/parameters.js';
import { placementOf } from '../../src/routing/groups/expert-placement.js';
import { createRouter, expertsOfDomain, type Router, type RouterName } from '../../src/routing/index.js';
import { expectClose, expertsOf, randomIntegers, randomValues, storeOf, tinyConfig } from './support.js';

const numTokens = 12;
const d = 8;
const f = 16;
const input = {
  tokenIdsT: randomIntegers('ids', numTokens, 257),
  idBefore: () => 0,
  domainsT: randomIntegers('domains', numTokens, 2),
  training: true,
};
const x = randomValues('x', numTokens * d);

function build(
  router: RouterName,
  form: AllToAllForm,
  capacityFactor: number | null = null,
  { width = f, sharedExperts = 0, sharedExpertGate = false } = {},
  wrap: (router: Router) => Router = (router) => router,
) {
  const config = tinyConfig({
    moe: { router, expertGroups: 2, capacityFactor, dFeedForward: width, sharedExperts, sharedExpertGate },
  });
  const { moe } = config;
  const transport = soloTransport();
  const layer = new MoeLayer({
    layer: 1,
    experts: expertsOf(config),
    placement: placementOf(moe, 1, 1),
    router: wrap(
      createRouter({
        moe,
        layer: 1,
        dModel: d,
        vocabSize: 257,
        expertsOfDomain: expertsOfDomain(2, moe),
        topology: transport.topology,
        transport,
        seed: 1,
        numSteps: 10,
        below: [],
      }),
    ),
    communicator: new Communicator(transport, form),
    overlapDegree: 1,
    deduplicate: false,
  });
  const store = storeOf(config, layer);
  for (const { name, begin, end } of store.expert.ranges)
    store.expert.values.set(randomValues(name, end - begin, 0.5), begin);
  for (const matrix of sharedExperts > 0 ? ['w_in', 'w_out'] : [])
    store.values(`layers.1.shared.${matrix}`).set(randomValues(matrix, d * sharedExperts * width, 0.5));
  if (sharedExpertGate) store.values('layers.1.shared.gate').set(randomValues('shared gate', d, 0.5));
  if (router === 'switch') store.values('layers.1.router.weight').set(randomValues('gate', d * 4, 0.5));
  store.pushValues();
  return { layer, store };
}

/** W_out GELU(W_in x) of one token, of the hidden units [begin, end) of the network's. */
function slowNetwork(
  store: ParameterStore,
  name: string,
  token: number,
  begin: number,
  end: number,
): Float64Array {
  const wIn = store.values(`layers.1.${name}.w_in`);
  const wOut = store.values(`layers.1.${name}.w_out`);
  const units = wIn.length / d;
  const out = new Float64Array(d);
  for (let j = begin; j < end; j++) {
    let before = 0;
    for (let i = 0; i < d; i++) before += x[token * d + i] * wIn[i * units + j];
    const hidden = 0.5 * before * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (before + 0.044715 * before ** 3)));
    for (let i = 0; i < d; i++) out[i] += hidden * wOut[j * d + i];
  }
  return out;
}

/** The group's best expert of one token and its probability. */
function slowGate(store: ParameterStore, token: number): { expert: number; weight: number } {
  const gate = store.values('layers.1.router.weight');
  const group = input.domainsT[token] === 0 ? [0, 1] : [2, 3];
  const scores = group.map((expert) => {
    let logit = 0;
    for (let i = 0; i < d; i++) logit += x[token * d + i] * gate[i * 4 + expert];
    return Math.exp(logit);
  });
  const best = scores[0] >= scores[1] ? 0 : 1;
  return { expert: group[best], weight: scores[best] / (scores[0] + scores[1]) };
}

describe.each(['flat', 'hierarchical'] as const)('MoeLayer over the %s all-to-all', (form) => {
  it.each([null, 0.5])('equals the loop over tokens (capacity factor %s)', (capacityFactor) => {
    const { layer, store } = build('switch', form, capacityFactor);
    const { yTD, statistics } = layer.forward(store, { ...input, xTD: tf.tensor2d(x, [numTokens, d]) });
    const y = yTD.dataSync();
    const capacity = capacityFactor === null ? Infinity : 2;
    const taken = [0, 0, 0, 0];
    const routed = [0, 0, 0, 0];
    const expected = new Float64Array(numTokens * d);
    for (let t = 0; t < numTokens; t++) {
      const { expert, weight } = slowGate(store, t);
      routed[expert]++;
      if (taken[expert] === capacity) continue;
      taken[expert]++;
      expected.set(
        slowNetwork(store, `experts.${expert}`, t, 0, f).map((value) => value * weight),
        t * d,
      );
    }
    expectClose(y, expected, 1e-5);
    expect(statistics).toMatchObject({
      layer: 1,
      rowBytes: 4 * d,
      measures: {
        routed: Int32Array.from(routed),
        kept: Int32Array.from(taken),
        sameWorker: taken.reduce((a, b) => a + b),
        sameNode: 0,
        otherNode: 0,
        capacity: new Float64Array(4).fill(capacity === Infinity ? 0 : capacity),
      },
    });
    store.dispose();
  });
});

it.each([
  [3, 1, ''],
  [4, 2, ''],
  [4, 2, ', by a gate'],
  [32, 3, ''],
])('MoeLayer with experts of width %i adds the sum of %i shared ones%s', (width, sharedExperts, byGate) => {
  const sharedExpertGate = byGate !== '';
  const { layer, store } = build('switch', 'flat', null, { width, sharedExperts, sharedExpertGate });
  const { yTD } = layer.forward(store, { ...input, xTD: tf.tensor2d(x, [numTokens, d]) });
  const expected = new Float64Array(numTokens * d);
  for (let t = 0; t < numTokens; t++) {
    const { expert, weight } = slowGate(store, t);
    const routed = slowNetwork(store, `experts.${expert}`, t, 0, width);
    for (let i = 0; i < d; i++) expected[t * d + i] = weight * routed[i];
    const gate = sharedExpertGate ? store.values('layers.1.shared.gate') : null;
    const logit = gate?.reduce((sum, weight, i) => sum + weight * x[t * d + i], 0) ?? Infinity;
    for (let shared = 0; shared < sharedExperts; shared++) {
      const y = slowNetwork(store, 'shared', t, shared * width, (shared + 1) * width);
      for (let i = 0; i < d; i++) expected[t * d + i] += y[i] / (1 + Math.exp(-logit));
    }
  }
  expectClose(yTD.dataSync(), expected, 1e-5);
  expect(store.values('layers.1.experts.3.w_out').length).toBe(width * d);
  store.dispose();
});

it('MoeLayer adds the gradients of a parameter that a router uses several times, over micro-batches too', () => {
  const threeProducts = (xTD: tf.Tensor2D, w: tf.Tensor2D) =>
    tf.addN([1, 2, 3].map((factor) => tf.sum(tf.mul(tf.square(exactMatMul(xTD, w)), factor)))) as tf.Scalar;
  const { layer, store } = build('switch', 'flat', null, {}, (router) => ({
    ...router,
    route: (its) => ({
      ...router.route(its),
      auxiliaryLoss: threeProducts(its.xTD, its.parameters.get('weight') as tf.Tensor2D),
    }),
  }));
  const xTD = tf.tensor2d(x, [numTokens, d]);
  const accumulate = (accumulates: boolean) =>
    store.computeGradients(() => layer.forward(store, { ...input, xTD }).auxiliaryLoss!, accumulates);
  const weight = store.get('layers.1.router.weight').clone() as tf.Tensor2D;
  const expected = tf
    .grad((w: tf.Tensor) => threeProducts(xTD, w as tf.Tensor2D))(weight)
    .dataSync()
    .slice();
  const { begin, end } = store.shared.ranges.find(({ name }) => name === 'layers.1.router.weight')!;
  for (const batches of [1, 2, 3]) {
    accumulate(batches > 1);
    const all = store.shared.gradients.slice(begin, end);
    expectClose(
      all,
      expected.map((each) => batches * each),
      1e-3,
    );
  }
  store.dispose();
});

it('MoeLayer gives an expert without tokens zero gradients', () => {
  const { layer, store } = build('hash', 'flat');
  const oneDomain = { ...input, domainsT: new Int32Array(numTokens) };
  store.computeGradients(() => {
    const { yTD, auxiliaryLoss } = layer.forward(store, {
      ...oneDomain,
      xTD: tf.tensor2d(x, [numTokens, d]),
    });
    expect(auxiliaryLoss).toBeNull();
    return tf.sum(yTD);
  });
  for (const { name, begin, end } of store.expert.ranges) {
    const isZero = store.expert.gradients.subarray(begin, end).every((value) => value === 0);
    expect(isZero, name).toBe(/experts\.[23]/.test(name));
  }
  store.dispose();
});
