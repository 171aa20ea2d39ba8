import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { affinityHead, classicCapacity, workingCapacity } from '../../../src/routing/capacity/capacity.js';
import { createRouter, type Router, type RoutingDecision } from '../../../src/routing/index.js';
import { expectClose, randomValues } from '../../model/support.js';
import { routerContext, routeTokens } from '../context.js';

const numTokens = 60;
const d = 24;
const x = randomValues('x', numTokens * d);

function routeWith(router: Router): RoutingDecision {
  const parameters = new Map([['bias', tf.zeros([4])]]);
  return routeTokens(router, { x, domainsT: new Int32Array(numTokens) }, parameters);
}

/**
 * For each of `n` experts, the cosines of the tokens that choose it with its gate vector, by a slow loop; gate of scale
 * 1, no bias.
 */
function tokensOfExperts(n: number): number[][] {
  const cosines = Array.from({ length: n }, (): number[] => []);
  for (let t = 0; t < numTokens; t++) {
    const token = [...x.slice(t * d, (t + 1) * d)];
    const sums = Array.from({ length: n }, (_, e) =>
      token.slice((e * d) / n, ((e + 1) * d) / n).reduce((a, b) => a + b),
    );
    const best = sums.indexOf(Math.max(...sums));
    cosines[best].push(sums[best] / Math.sqrt(d / n) / Math.hypot(...token));
  }
  return cosines;
}

describe('the capacity of locmoe', () => {
  const context = routerContext(
    {
      router: 'locmoe',
      numExperts: 4,
      capacityFactor: 1.2,
      capacityBatches: 3,
      affinityShare: 0.5,
      gateScale: 1,
    },
    { dModel: d },
  );
  const batch = routeWith;
  const step = (router: Router) => {
    const { capacityE } = batch(router);
    router.endStep();
    return capacityE[0];
  };

  it('is classic for the first steps, then what they showed, and stays', () => {
    const router = createRouter(context);
    const classic = classicCapacity(1.2, numTokens, 1, 4);
    expect([step(router), step(router), step(router)]).toEqual([classic, classic, classic]);
    // Every step has the same tokens, so the mean over steps is the value of one.
    const cosines = tokensOfExperts(4);
    const heads = cosines.map((each) => affinityHead(Float32Array.from(each).sort(), 0.5, Math.sqrt(d)));
    const expected = workingCapacity({
      classic,
      count: Math.max(...heads.map(({ count }) => count)),
      delta: heads.reduce((sum, { leastCosine }) => sum + Math.max(0, leastCosine), 0) / heads.length,
      numExperts: 4,
      dModel: d,
    });
    expect(expected).toBeLessThan(classic);
    const state = [...router.state.values()].map((values) => [...values]);
    expect([step(router), step(router)]).toEqual([expected, expected]);
    expect([...router.state.values()].map((values) => [...values])).toEqual(state);
  });

  it('counts steps, not micro-batches', () => {
    const [whole, split] = [createRouter(context), createRouter(context)];
    for (let i = 0; i < 3; i++) {
      step(whole);
      batch(split);
      step(split);
    }
    expect([...split.state.values()]).toEqual([...whole.state.values()]);
    expect(step(split)).toBe(step(whole));
  });
});

it('a token that the ReLU leaves with zeros goes to the expert with the greatest argument', () => {
  const router = createRouter(routerContext({ router: 'locmoe', numExperts: 2 }, { dModel: 2 }));
  const { expertsTK, weightsTK } = routeTokens(
    router,
    { x: Float32Array.of(-2, -1, -1, -2), domainsT: new Int32Array(2) },
    new Map([['bias', tf.zeros([2])]]),
  );
  expect([...expertsTK]).toEqual([1, 0]);
  expectClose(weightsTK!.dataSync(), [0.5, 0.5], 1e-6);
});
