import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig } from '../../../src/routing/index.js';
import { checkGradients, expectClose, randomIntegers, randomValues } from '../../model/support.js';
import { routerContext, routeTokens } from '../context.js';

const T = 12;
const d = 12;
const E = 4;
const WEIGHT = 0.3;
const domainsT = randomIntegers('domains', T, 3);

/** Routers with a gate that has logits, and the parameter that is differentiated. */
const GATES = [
  ['switch', 'weight', [d, E]],
  ['moge', 'weight', [d, E]],
  ['deepseek', 'weight', [d, E]],
  ['expert-choice', 'weight', [d, E]],
  ['locmoe', 'bias', [E]],
] as const;

function lossOf(moe: Partial<MoeConfig>, name: string, x: tf.Tensor, parameter: tf.Tensor): tf.Tensor {
  const context = routerContext(
    { numExperts: E, auxiliaryLossWeight: 0, localityLossWeight: 0, deviceGroups: 1, ...moe },
    { dModel: d },
  );
  const tokens = { x, domainsT, tokenIdsT: Int32Array.from({ length: T }, (_, t) => t) };
  const { auxiliaryLoss } = routeTokens(createRouter(context), tokens, new Map([[name, parameter]]));
  return auxiliaryLoss ?? tf.scalar(0);
}

describe.each(GATES)('the router z-loss of %s', (router, name, shape) => {
  const parametersOf = (seed: number) =>
    randomValues(
      `${name} ${seed}`,
      shape.reduce<number>((a, b) => a * b, 1),
    );

  it.each([1, 2])('equals ST-MoE, eq. 5, by loops, with %i groups of experts', (expertGroups) => {
    for (let seed = 0; seed < 3; seed++) {
      const x = randomValues(`x ${seed}`, T * d);
      const values = parametersOf(seed);
      const logit = (t: number, e: number) => {
        let sum = 0;
        if (router === 'locmoe') {
          // The mean of the three coordinates of an expert, at scale 0.5 and unit variance.
          for (let i = 3 * e; i < 3 * e + 3; i++) sum += x[t * d + i] / Math.sqrt(3);
          return Math.max(0, 0.5 * sum + values[e]);
        }
        for (let i = 0; i < d; i++) sum += x[t * d + i] * values[i * E + e];
        return sum;
      };
      let expected = 0;
      for (let t = 0; t < T; t++) {
        let sum = 0;
        for (let e = 0; e < E; e++)
          if (expertGroups === 1 || Math.floor(e / 2) === domainsT[t] % 2) sum += Math.exp(logit(t, e));
        expected += (WEIGHT * Math.log(sum) ** 2) / T;
      }
      const loss = (zLossWeight: number, tokenPreference = 0) =>
        tf.tidy(() => {
          const moe = { router, expertGroups, zLossWeight, tokenPreference };
          return lossOf(moe, name, tf.tensor(x, [T, d]), tf.tensor(values, [...shape])).dataSync();
        });
      expectClose(loss(WEIGHT), [expected], 1e-5);
      expect(loss(0)[0]).toBe(0);
      // Preferences of token ids do not belong to the gate.
      expectClose(loss(WEIGHT, 4), [expected], 1e-5);
    }
  });

  it('has the gradients of finite differences', () => {
    // Biases of 2 keep the arguments of the ReLU on one side.
    const values = parametersOf(1).map((value, i) => (router === 'locmoe' ? 2 - 4 * (i % 2) : value / 4));
    checkGradients(
      (x, parameter) => lossOf({ router, zLossWeight: WEIGHT }, name, x, parameter),
      [
        { shape: [T, d], values: randomValues('x 1', T * d) },
        { shape, values },
      ],
    );
  });
});
