import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { affinityHead, classicCapacity, workingCapacity } from '../../src/routing/capacity.js';
import { createRouter, type Router, type RoutingDecision } from '../../src/routing/index.js';
import { expectClose, randomIntegers, randomValues } from '../model/support.js';
import { routerContext } from './context.js';

const numTokens = 60;
const d = 24;
const x = randomValues('x', numTokens * d);

describe.each([
  [4, 1, 1],
  [8, 4, 3],
  [3, 1, 0.5],
  [24, 2, 2],
  [4, 4, 1],
])('locmoe router of %i experts in %i groups, scale %f', (numExperts, expertGroups, gateScale) => {
  const context = routerContext(
    { router: 'locmoe', numExperts, expertGroups, gateScale, capacityFactor: 0.8 },
    { dModel: d },
  );
  const domainsT = randomIntegers('domains', numTokens, 3);
  const bias = randomValues('bias', numExperts, 0.3);
  const route = (training: boolean) => routeWith(createRouter(context), domainsT, bias, training);

  /** What the ReLU is taken of, by the dense weights of eq. 4 scaled to unit length. */
  const argument = (t: number, e: number) => {
    let sum = 0;
    for (let j = 0; j < d; j++)
      if (Math.floor((j * numExperts) / d) === e) sum += (numExperts / d) * x[t * d + j];
    return (gateScale * sum) / Math.sqrt(numExperts / d) + bias[e];
  };
  const slow = Array.from({ length: numTokens }, (_, t) => {
    const group = [...context.expertsOfDomain[domainsT[t]]];
    const best = group.reduce((a, b) => (argument(t, b) > argument(t, a) ? b : a));
    const scores = group.map((e) => Math.exp(Math.max(0, argument(t, e))));
    const total = scores.reduce((a, b) => a + b);
    const probsE = new Float64Array(numExperts);
    group.forEach((e, i) => {
      probsE[e] = scores[i] / total;
    });
    return { best, probsE };
  });

  it.each([true, false])('equals the loop (training: %s)', (training) => {
    const decision = route(training);
    const capacity = training ? Math.ceil((0.8 * numTokens) / numExperts) : Infinity;
    const taken = Array<number>(numExperts).fill(0);
    expect([...decision.expertsTK]).toEqual(slow.map(({ best }) => (taken[best]++ < capacity ? best : -1)));
    expect([...decision.routedE]).toEqual(taken);
    expect([...decision.capacityE]).toEqual(Array(numExperts).fill(capacity));
    expectClose(
      decision.weightsTK!.dataSync(),
      slow.map(({ best, probsE }) => probsE[best]),
      1e-5,
    );
    const mean = (e: number) => slow.reduce((sum, { probsE }) => sum + probsE[e], 0) / numTokens;
    // One node: the localised distribution of a domain is uniform over its experts.
    const target = (e: number) =>
      domainsT.reduce((sum, domain) => {
        const group = context.expertsOfDomain[domain];
        return sum + (group.includes(e) ? 1 / group.length / numTokens : 0);
      }, 0);
    let loss = 0;
    for (let e = 0; e < numExperts; e++) {
      loss += 0.01 * numExperts * (taken[e] / numTokens) * mean(e);
      if (mean(e) > 0) loss += 0.01 * mean(e) * Math.log(mean(e) / target(e));
    }
    if (training) expect(decision.auxiliaryLoss!.dataSync()[0]).toBeCloseTo(loss, 6);
    else expect(decision.auxiliaryLoss).toBeNull();
  });
});

function routeWith(
  router: Router,
  domainsT: Int32Array,
  bias: Float32Array,
  training = true,
): RoutingDecision {
  return router.route({
    xTD: tf.tensor2d(x, [numTokens, d]),
    tokenIdsT: new Int32Array(numTokens),
    domainsT,
    training,
    parameters: new Map([['bias', tf.tensor1d(bias)]]),
  });
}

/** The cosines with their gate of the tokens that choose each of `n` experts, by a slow loop; gate of scale 1, no bias. */
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
  const batch = (router: Router) => routeWith(router, new Int32Array(numTokens), new Float32Array(4));
  const step = (router: Router) => {
    const { capacityE } = batch(router);
    router.endStep();
    return capacityE[0];
  };

  it('is classic for the first steps, then what they showed, and stays', () => {
    const router = createRouter(context);
    const classic = classicCapacity(1.2, numTokens, 1, 4);
    expect([step(router), step(router), step(router)]).toEqual([classic, classic, classic]);
    // The same tokens in every step: the mean is that of one.
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

  it('goes on from saved state', () => {
    const first = createRouter(context);
    for (let i = 0; i < 3; i++) step(first);
    const second = createRouter(context);
    for (const [name, values] of second.state) values.set(first.state.get(name)!);
    expect(step(second)).toBe(step(first));
  });

  it('drops nothing without a capacity factor', () => {
    const free = createRouter(
      routerContext(
        { router: 'locmoe', numExperts: 4, capacityFactor: null, capacityBatches: 1 },
        { dModel: d },
      ),
    );
    expect([step(free), step(free)]).toEqual([Infinity, Infinity]);
  });
});

it('a token that the ReLU leaves with zeros goes to the expert with the greatest argument', () => {
  const router = createRouter(routerContext({ router: 'locmoe', numExperts: 2 }, { dModel: 2 }));
  const { expertsTK, weightsTK } = router.route({
    xTD: tf.tensor2d([-2, -1, -1, -2], [2, 2]),
    tokenIdsT: new Int32Array(2),
    domainsT: new Int32Array(2),
    training: false,
    parameters: new Map([['bias', tf.zeros([2])]]),
  });
  expect([...expertsTK]).toEqual([1, 0]);
  expectClose(weightsTK!.dataSync(), [0.5, 0.5], 1e-6);
});
