import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter } from '../../src/routing/index.js';
import { expectClose, randomIntegers, randomValues } from '../model/support.js';
import { routerContext } from './context.js';

const numTokens = 30;
const d = 6;
const x = randomValues('x', numTokens * d);
const domainsT = randomIntegers('domains', numTokens, 3);

describe.each([
  [4, 1],
  [4, 2],
  [8, 4],
  [3, 1],
  [4, 4],
])('switch router of %i experts in %i groups', (numExperts, expertGroups) => {
  const context = routerContext({ numExperts, expertGroups, capacityFactor: 0.8 });
  const gate = randomValues('gate', d * numExperts);

  const route = (training: boolean) =>
    createRouter(context).route({
      xTD: tf.tensor2d(x, [numTokens, d]),
      tokenIdsT: new Int32Array(numTokens),
      domainsT,
      training,
      parameters: new Map([['weight', tf.tensor2d(gate, [d, numExperts])]]),
    });

  /** Probabilities of each token over all experts; zero outside its group. */
  const slowProbs = Array.from({ length: numTokens }, (_, t) => {
    const scores = Array.from({ length: numExperts }, (_unused, e) => {
      if (!context.expertsOfDomain[domainsT[t]].includes(e)) return 0;
      let logit = 0;
      for (let i = 0; i < d; i++) logit += x[t * d + i] * gate[i * numExperts + e];
      return Math.exp(logit);
    });
    const total = scores.reduce((a, b) => a + b);
    return scores.map((score) => score / total);
  });

  it.each([true, false])('equals the loop (training: %s)', (training) => {
    const { weightsTK, auxiliaryLoss, ...rest } = route(training);
    const decision = {
      ...rest,
      weights: weightsTK!.dataSync().slice(),
    };
    const best = slowProbs.map((probs) => probs.indexOf(Math.max(...probs)));
    const capacity = training ? Math.ceil((0.8 * numTokens) / numExperts) : Infinity;
    const taken = Array<number>(numExperts).fill(0);
    const expected = best.map((expert) => (taken[expert]++ < capacity ? expert : -1));
    expect([...decision.expertsTK]).toEqual(expected);
    expect([...decision.routedE]).toEqual(taken);
    expect([...decision.capacityE]).toEqual(Array(numExperts).fill(capacity));
    expect([...decision.overCapacityE]).toEqual(taken.map((routed) => Math.max(0, routed - capacity)));
    expect([...decision.notChosenE]).toEqual(Array(numExperts).fill(0));
    expectClose(
      decision.weights,
      best.map((expert, t) => slowProbs[t][expert]),
      1e-5,
    );
    let loss = 0;
    for (let e = 0; e < numExperts; e++) {
      const mean = slowProbs.reduce((sum, probs) => sum + probs[e], 0) / numTokens;
      loss += 0.01 * numExperts * (taken[e] / numTokens) * mean;
    }
    if (training) expect(auxiliaryLoss!.dataSync()[0]).toBeCloseTo(loss, 6);
    else expect(auxiliaryLoss).toBeNull();
  });
});
