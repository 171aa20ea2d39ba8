import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { expertsOfRank } from '../../src/routing/expert-placement.js';
import { createRouter, type MoeConfig } from '../../src/routing/index.js';
import { checkGradients, expectClose, randomIntegers, randomValues } from '../model/support.js';
import { routerContext } from './context.js';

const numTokens = 30;
const d = 6;
const x = randomValues('x', numTokens * d);
const domainsT = randomIntegers('domains', numTokens, 3);

const contextOf = (moe: Partial<MoeConfig>) => routerContext({ router: 'moge', ...moe });
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

function route(context: ReturnType<typeof contextOf>, gate: Float32Array, training: boolean, tokens = x) {
  return createRouter(context).route({
    xTD: tf.tensor2d(tokens, [numTokens, d]),
    tokenIdsT: new Int32Array(numTokens),
    domainsT,
    training,
    parameters: new Map([['weight', tf.tensor2d(gate, [d, context.moe.numExperts])]]),
  });
}

describe.each([
  [8, 1, 2, 1],
  [8, 1, 4, 2],
  [12, 2, 2, 2],
  [12, 3, 4, 1],
  [6, 1, 1, 3],
])('moge router of %i experts, %i groups, %i device groups, %i choices in each', (E, G, M, choices) => {
  const context = contextOf({
    numExperts: E,
    expertGroups: G,
    capacityFactor: 0.8,
    deviceGroups: M,
    choicesPerDeviceGroup: choices,
  });
  const gate = randomValues('gate', d * E);
  const K = M * choices;
  const size = E / G / M;

  /** Probabilities of each token over all experts; zero outside its domain's group. */
  const slowProbs = Array.from({ length: numTokens }, (_, t) => {
    const scores = Array.from({ length: E }, (_unused, e) => {
      if (!context.expertsOfDomain[domainsT[t]].includes(e)) return 0;
      return Math.exp(sum(Array.from({ length: d }, (_i, i) => x[t * d + i] * gate[i * E + e])));
    });
    return scores.map((score) => score / sum(scores));
  });
  /** The choices of each token, device group by device group. */
  const slowChoices = slowProbs.map((probs, t) =>
    Array.from({ length: M }, (_, m) => {
      const first = context.expertsOfDomain[domainsT[t]][0] + m * size;
      const group = Array.from({ length: size }, (_unused, i) => first + i);
      return group.sort((a, b) => probs[b] - probs[a]).slice(0, choices);
    }).flat(),
  );

  it.each([true, false])('equals the loop (training: %s)', (training) => {
    const decision = route(context, gate, training);
    const capacity = training ? Math.ceil((0.8 * numTokens * K) / E) : Infinity;
    const routed = Array<number>(E).fill(0);
    const expected = slowChoices.flat().map((expert) => (routed[expert]++ < capacity ? expert : -1));
    expect(decision.numChoices).toBe(K);
    expect([...decision.expertsTK]).toEqual(expected);
    expect([...decision.routedE]).toEqual(routed);
    expect([...decision.keptE]).toEqual(routed.map((count) => Math.min(count, capacity)));
    expect([...decision.overCapacityE]).toEqual(routed.map((count) => Math.max(0, count - capacity)));
    expect([...decision.capacityE]).toEqual(Array(E).fill(capacity));
    expectClose(
      decision.weightsTK!.dataSync(),
      slowChoices.flatMap((chosen, t) => chosen.map((expert) => slowProbs[t][expert])),
      1e-5,
    );
    if (!training) return expect([decision.auxiliaryLoss, decision.gateCosine]).toEqual([null, null]);
    const meanOf = (e: number) => sum(slowProbs.map((probs) => probs[e])) / numTokens;
    const loss = sum(routed.map((count, e) => (0.01 * E * count * meanOf(e)) / (numTokens * K)));
    expect(decision.auxiliaryLoss!.dataSync()[0]).toBeCloseTo(loss, 6);
    expect(decision.gateCosine!.count).toBe(numTokens * K);
  });

  it('takes as many experts of each device group, for every token', () => {
    const { expertsTK } = route(context, gate, false);
    for (let t = 0; t < numTokens; t++) {
      const chosen = expertsTK.subarray(t * K, (t + 1) * K);
      expect(new Set(chosen).size).toBe(K);
      const partsOfToken = [...chosen].map((expert) => Math.floor(expert / size));
      for (const part of new Set(partsOfToken))
        expect(partsOfToken.filter((each) => each === part)).toHaveLength(choices);
    }
  });

  it('gradients reach tokens and gate through weights and loss', () => {
    // All experts of a domain, so that a step of the differences can change their order alone.
    const all = contextOf({ ...context.moe, choicesPerDeviceGroup: size, capacityFactor: null });
    const few = 6;
    const op = (xTD: tf.Tensor, weight: tf.Tensor) => {
      const { weightsTK, auxiliaryLoss, expertsTK, numChoices } = createRouter(all).route({
        xTD: xTD as tf.Tensor2D,
        tokenIdsT: new Int32Array(few),
        domainsT: domainsT.subarray(0, few),
        training: true,
        parameters: new Map([['weight', weight]]),
      });
      const keys = expertsTK.map((expert, choice) => Math.floor(choice / numChoices) * E + expert);
      const byExpert = Int32Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b]);
      const weights = tf.gather(tf.reshape(weightsTK!, [-1]), tf.tensor1d(byExpert, 'int32'));
      return tf.concat([weights, tf.reshape(tf.mul(auxiliaryLoss!, 20), [1])]);
    };
    checkGradients(op, [
      { shape: [few, d], values: x.slice(0, few * d) },
      { shape: [d, E], values: gate.map((w) => w / 4) },
    ]);
  });
});

describe('the load of ranks', () => {
  // Tokens that are alike and a gate that likes the first experts of all.
  const E = 16;
  const alike = x.map(Math.abs);
  const gate = randomValues('gate', d * E).map((w, i) => w - 0.5 * (i % E));
  const loadOf = (keptE: Int32Array, worldSize: number) =>
    Array.from({ length: worldSize }, (_, rank) =>
      sum(expertsOfRank(E, worldSize, rank).map((e) => keptE[e])),
    );

  it.each([1, 2])('is equal where they divide the device groups, with %i choices in each', (choices) => {
    const context = contextOf({
      numExperts: E,
      deviceGroups: 4,
      choicesPerDeviceGroup: choices,
      capacityFactor: null,
    });
    const { keptE } = route(context, gate, true, alike);
    for (const worldSize of [1, 2, 4])
      expect(loadOf(keptE, worldSize)).toEqual(Array(worldSize).fill((numTokens * 4 * choices) / worldSize));
    expect(new Set(loadOf(keptE, 8)).size).toBeGreaterThan(1);
    expect(Math.max(...keptE)).toBeGreaterThan(1.5 * (sum(keptE) / E));
  });
});

it('of two equally likely experts the lower one is taken', () => {
  const context = contextOf({ numExperts: 8, deviceGroups: 2, choicesPerDeviceGroup: 2 });
  const { expertsTK } = route(context, new Float32Array(d * 8), false);
  expect([...expertsTK.subarray(0, 8)]).toEqual([0, 1, 4, 5, 0, 1, 4, 5]);
});
