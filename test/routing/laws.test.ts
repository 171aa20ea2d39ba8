import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { denseGateCosines } from '../../src/routing/gates/dense-gate.js';
import type { GateControl } from '../../src/routing/gates/gate-control.js';
import { cosineAffinity } from '../../src/routing/gates/grap.js';
import { createRouter, type MoeConfig, ROUTER_NAMES, routerPolicy } from '../../src/routing/index.js';
import { createTrainState } from '../../src/worker/state.js';
import { checkGradients, randomIntegers, randomValues, tinyConfig } from '../model/support.js';
import { batchesOf } from '../worker/step-batches.js';
import { randomParameters, routerContext, routeTokens, sum } from './context.js';

// Properties that every router must have. checked-router.test.ts tests that decisions are valid,
// test/worker/state.test.ts that routers resume from a checkpoint, and test/worker/layouts.test.ts that the layout does
// not matter.

const T = 40;
const d = 24;
const tokens = {
  x: randomValues('x', T * d),
  domainsT: randomIntegers('domains', T, 3),
  tokenIdsT: randomIntegers('ids', T, 300),
};

describe.each(ROUTER_NAMES)('router %s', (router) => {
  it('has a default for every field, and only fields of its own shape it', () => {
    const { fields, shapedBy } = routerPolicy(router);
    for (const schema of Object.values(fields)) expect(schema).toHaveProperty('_zod.def.type', 'default');
    expect(Object.keys(fields)).toEqual(expect.arrayContaining([...shapedBy]));
  });

  it('drops nothing without a capacity factor, in training and outside', () => {
    const context = routerContext({ router, capacityFactor: null, capacityBatches: 1 }, { dModel: d });
    const created = createRouter(context);
    const parameters = randomParameters(created);
    for (const training of [true, true, false]) {
      const { routedE, keptE } = routeTokens(created, tokens, parameters, training);
      expect(sum(routedE)).toBeGreaterThanOrEqual(T);
      expect(keptE).toEqual(routedE);
      if (training) created.endStep();
    }
  });

  it.skipIf(router === 'hash')('takes zeros, or the scores of other tokens, in the place of its gate', () => {
    const { model } = createTrainState(tinyConfig({ moe: { router } }), soloTransport(), null);
    const gateScores = (gateControl?: GateControl) => {
      const found: number[][] = [];
      tf.tidy(() => {
        model.loss(batchesOf(1, 1)[0]!, {
          training: false,
          wantsScores: true,
          gateControl,
          inspect: (_, __, { scores }) => found.push([...scores!.gateTE]),
        });
      });
      return found[0]!;
    };
    const [plain, zero, shuffled] = [gateScores(), gateScores('zero'), gateScores('shuffled')];
    expect(new Set(plain).size).toBeGreaterThan(4);
    // The scores of deepseek are sigmoids of logits.
    expect(new Set(zero)).toEqual(new Set([router === 'deepseek' ? 0.5 : 0]));
    expect(shuffled).not.toEqual(plain);
    expect(shuffled.toSorted()).toEqual(plain.toSorted());
    model.dispose();
  });
});

it.each([
  { router: 'switch', expertsPerToken: 4 },
  { router: 'locmoe', expertsPerToken: 4, localityLossWeight: 0 },
  { router: 'moge', deviceGroups: 2, choicesPerDeviceGroup: 2 },
  { router: 'deepseek', expertsPerToken: 4 },
  { router: 'deepseek', expertsPerToken: 2, expertGroups: 2 },
  { router: 'expert-choice', expertGroups: 2, capacityFactor: 1 },
] as const)('%j has the gradients of finite differences in weights and loss, for tokens and gate', (moe) => {
  const E = 4;
  const few = 6;
  // All experts of a domain are chosen, so that the steps of the finite differences change only their order.
  const context = routerContext(
    { numExperts: E, capacityFactor: null, auxiliaryLossWeight: 0.07, ...moe },
    { dModel: d },
  );
  const [[name, gate]] = [...randomParameters(createRouter(context))] as [[string, tf.Tensor]];
  const op = (x: tf.Tensor, parameter: tf.Tensor) => {
    const { weightsTK, auxiliaryLoss, chosenTK, numChoices } = routeTokens(
      createRouter(context),
      { x, domainsT: tokens.domainsT.subarray(0, few) },
      new Map([[name, parameter]]),
    );
    const keys = chosenTK.map((expert, choice) => Math.floor(choice / numChoices) * E + expert);
    const byExpert = Int32Array.from(keys.keys()).sort((a, b) => keys[a]! - keys[b]!);
    const weights = tf.gather(tf.reshape(weightsTK!, [-1]), tf.tensor1d(byExpert, 'int32'));
    return tf.concat([weights, tf.reshape(tf.mul(auxiliaryLoss ?? 0, 20), [1])]);
  };
  checkGradients(op, [
    { shape: [few, d], values: tokens.x.slice(0, few * d) },
    { shape: gate.shape, values: gate.dataSync<'float32'>().map((value) => value / 4) },
  ]);
});

it.each<[Partial<MoeConfig>, number[], number[]]>([
  [{ router: 'switch', numExperts: 6, expertGroups: 2, expertsPerToken: 2 }, [0, 1], [3, 4]],
  [{ router: 'locmoe', numExperts: 6, expertGroups: 2, expertsPerToken: 2 }, [0, 1], [3, 4]],
  [{ router: 'moge', numExperts: 8, deviceGroups: 2, choicesPerDeviceGroup: 2 }, [0, 1, 4, 5], [0, 1, 4, 5]],
  [
    { router: 'deepseek', numExperts: 16, expertsPerToken: 4, deviceGroups: 8, maxDeviceGroups: 2 },
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ],
])('%j takes the lower ones of equally good experts', (moe, even, odd) => {
  const router = createRouter(routerContext(moe, { dModel: d }));
  const zeros = [...randomParameters(router)].map(([name, tensor]) => [name, tf.zerosLike(tensor)] as const);
  const { chosenTK } = routeTokens(router, { ...tokens, x: new Float32Array(T * d) }, new Map(zeros));
  expect([...chosenTK]).toEqual([...tokens.domainsT].flatMap((domain) => (domain % 2 === 0 ? even : odd)));
});

it.each([
  { router: 'switch' },
  { router: 'expert-choice' },
  { router: 'deepseek', expertsPerToken: 2 },
  { router: 'locmoe' },
  { router: 'locmoe', learnedGroups: true },
  { router: 'locmoe-plus' },
  { router: 'locmoe-plus', learnedGroups: true },
] as const)('%j tells the cosines of tokens with the gates of their experts', (moe) => {
  const context = routerContext({ capacityFactor: null, ...moe }, { dModel: d });
  const router = createRouter(context);
  const parameters = randomParameters(router);
  const xTD = tf.tensor2d(tokens.x, [T, d]);
  const { expertsTK, numChoices, gateCosine } = routeTokens(router, { ...tokens, x: xTD }, parameters);
  const cosinesTE = (
    parameters.has('weight')
      ? denseGateCosines({ xTD, parameters })
      : cosineAffinity(
          xTD,
          context.moe.numExperts,
          (parameters.get('blocks') as tf.Tensor1D | undefined) ?? null,
        )
  ).arraySync();
  const cosines = [...expertsTK].flatMap((expert, choice) =>
    expert < 0 ? [] : cosinesTE[Math.floor(choice / numChoices)]![expert]!,
  );
  expect(gateCosine!.count).toBe(cosines.length);
  expect(gateCosine!.sum).toBeCloseTo(sum(cosines), 4);
});

it('training.md names every router', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/training.md'), 'utf8');
  for (const router of ROUTER_NAMES) expect(page).toContain(`\`${router}\``);
});
