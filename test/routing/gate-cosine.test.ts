import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { createRouter, routerPolicy } from '../../src/routing/index.js';
import { randomValues } from '../model/support.js';
import { routerContext } from './context.js';

const numTokens = 40;
const d = 16;
const E = 4;

it.each([
  { router: 'switch' },
  { router: 'expert-choice' },
  { router: 'deepseek', expertsPerToken: 2 },
  { router: 'locmoe' },
  { router: 'locmoe', learnedGroups: true },
  { router: 'locmoe-plus' },
  { router: 'locmoe-plus', learnedGroups: true },
] as const)('%j tells the cosines of tokens with the gates of their experts', (moe) => {
  const context = routerContext(
    { numExperts: E, expertGroups: 1, capacityFactor: null, ...moe },
    { dModel: d },
  );
  const router = createRouter(context);
  const parameters = new Map(
    router.parameterSpecs.map(({ name, shape }) => [
      name,
      tf.tensor(randomValues(name, tf.util.sizeFromShape([...shape])), [...shape]),
    ]),
  );
  const xTD = tf.tensor2d(randomValues('x', numTokens * d), [numTokens, d]);
  const nothingT = new Int32Array(numTokens);
  const { expertsTK, numChoices, gateCosine } = router.route({
    xTD,
    tokenIdsT: nothingT,
    domainsT: nothingT,
    training: true,
    parameters,
  });
  const cosinesTE = routerPolicy(moe.router).gateCosines!(context.moe, { xTD, parameters }).arraySync();
  const cosines = [...expertsTK].flatMap((expert, choice) =>
    expert < 0 ? [] : cosinesTE[Math.floor(choice / numChoices)]![expert]!,
  );
  expect(gateCosine!.count).toBe(cosines.length);
  expect(gateCosine!.sum).toBeCloseTo(
    cosines.reduce((a, b) => a + b),
    4,
  );
});
