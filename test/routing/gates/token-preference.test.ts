import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig } from '../../../src/routing/index.js';
import { randomIntegers, randomValues } from '../../model/support.js';
import { randomParameters, routerContext, routeTokens } from '../context.js';

const numTokens = 60;
const d = 8;
const E = 4;
const tokenIdsT = randomIntegers('ids', numTokens, 10);
const domainsT = new Int32Array(numTokens);

function route(moe: Partial<MoeConfig>, { x = 'x', layer = 2, training = false } = {}) {
  const context = routerContext(
    { numExperts: E, expertGroups: 1, capacityFactor: null, deviceGroups: 1, ...moe },
    { dModel: d, layer },
  );
  const router = createRouter(context);
  const parameters = randomParameters(router);
  const bias = parameters.get('bias');
  if (bias !== undefined) parameters.set('bias', tf.zerosLike(bias));
  const tokens = { x: randomValues(x, numTokens * d), tokenIdsT, domainsT };
  const decision = routeTokens(router, tokens, parameters, training);
  const firstT = decision.expertsTK.filter((_, i) => i % decision.numChoices === 0);
  return { router, firstT, decision };
}

const LEARNED = ['expert-choice', 'switch', 'locmoe', 'locmoe-plus', 'moge', 'deepseek'] as const;

describe.each(LEARNED)('%s with preferences of tokens', (router) => {
  it('sends a token id to the expert that it prefers, whatever its activations, if they are strong', () => {
    const moe = { router, tokenPreference: 1e4 };
    const { firstT, router: created } = route(moe);
    const preferenceVE = created.state.get('preference')!;
    const preferredT = [...tokenIdsT].map((id) => {
      const row = preferenceVE.subarray(id * E, (id + 1) * E);
      return row.indexOf(Math.max(...row));
    });
    expect([...firstT]).toEqual(preferredT);
    expect([...route(moe, { x: 'other' }).firstT]).toEqual(preferredT);
    expect([...route(moe, { layer: 3 }).firstT]).not.toEqual(preferredT);
  });

  it('leaves the choice to the gate if they are weak, and keeps no state without', () => {
    const { firstT, router: created } = route({ router });
    expect(created.state.has('preference')).toBe(false);
    expect([...route({ router, tokenPreference: 1e-6 }).firstT]).toEqual([...firstT]);
  });

  it('has preferences that spread as it is told, in units of its gate', () => {
    const preferences = (tokenPreference: number) =>
      route({ router, tokenPreference }).router.state.get('preference')!;
    const one = preferences(1);
    expect(preferences(3).every((value, i) => Math.abs(value - 3 * one[i]!) < 1e-5)).toBe(true);
    const spread = Math.sqrt(one.reduce((sum, value) => sum + value * value, 0) / one.length);
    const dense = Math.sqrt(0.4);
    const ofGate = {
      'expert-choice': dense,
      switch: dense,
      moge: dense,
      deepseek: dense / 4,
      locmoe: 0.5,
      'locmoe-plus': d ** -0.5,
    };
    expect(spread / ofGate[router]).toBeGreaterThan(0.9);
    expect(spread / ofGate[router]).toBeLessThan(1.1);
  });
});

it.each(['switch', 'locmoe'] as const)('%s weighs the expert of a strong preference by one', (router) => {
  const { decision, router: created } = route({ router, tokenPreference: 1e4, numExperts: 2 });
  expect(Math.min(...decision.weightsTK!.dataSync())).toBeGreaterThan(0.999);
  // This holds also for a token whose preferences are all negative.
  const preferenceVE = created.state.get('preference')!;
  const bestOf = (id: number) => Math.max(...preferenceVE.subarray(2 * id, 2 * id + 2));
  expect(Math.min(...[...tokenIdsT].map(bestOf))).toBeLessThan(0);
});

describe('locmoe-plus with preferences of tokens', () => {
  it('has working capacities below the classic one, as without', () => {
    const moe = { router: 'locmoe-plus', capacityFactor: 1.25, affinityShare: 0.2, temperature: 4 } as const;
    for (const tokenPreference of [0, 4]) {
      const { decision } = route({ ...moe, tokenPreference }, { training: true });
      expect(Math.min(...decision.capacityE)).toBeLessThan((1.25 * numTokens) / E);
    }
  });
});
