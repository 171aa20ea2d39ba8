import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { expertsOfRank } from '../../../src/routing/groups/expert-placement.js';
import { createRouter, type MoeConfig } from '../../../src/routing/index.js';
import { expectClose, randomIntegers, randomValues } from '../../model/support.js';
import { routerContext, routeTokens, sum } from '../context.js';

const numTokens = 30;
const d = 6;
const x = randomValues('x', numTokens * d);
const domainsT = randomIntegers('domains', numTokens, 3);

const contextOf = (moe: Partial<MoeConfig>) => routerContext({ router: 'moge', ...moe });

function route(context: ReturnType<typeof contextOf>, gate: Float32Array, training: boolean, tokens = x) {
  const weight = tf.tensor2d(gate, [d, context.moe.numExperts]);
  return routeTokens(createRouter(context), { x: tokens, domainsT }, new Map([['weight', weight]]), training);
}

describe.each([
  [8, 1, 4, 2],
  [12, 2, 2, 2],
  [12, 3, 4, 1],
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
});

describe('the load of ranks', () => {
  // Similar tokens, and a gate that prefers the first experts.
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
