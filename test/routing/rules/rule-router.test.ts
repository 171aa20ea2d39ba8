import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import {
  add,
  cosine,
  divide,
  exp,
  grouped,
  groupedCosine,
  linear,
  multiply,
  ofId,
  parameter,
  relu,
  type ShortRule,
  sigmoid,
  softmax,
  subtract,
  tanh,
  top,
  topOfGroups,
  topP,
  wholeRule,
} from '../../../src/architecture/build-rule.js';
import { createRouter, routerPolicy } from '../../../src/routing/index.js';
import { defineRouter, type LossInput } from '../../../src/routing/policy.js';
import { problemOfRule } from '../../../src/routing/rules/rule-problems.js';
import { createByPolicy } from '../../../src/routing/rules/rule-router.js';
import { checkGradients, randomIntegers, randomValues } from '../../model/support.js';
import { randomParameters, routerContext } from '../context.js';

// Shapes: T tokens, d hidden size, E experts.

const T = 40;
const d = 24;
const E = 8;
const tokens = {
  x: randomValues('x', T * d),
  domainsT: randomIntegers('domains', T, 3),
  tokenIdsT: randomIntegers('ids', T, 300),
  idBefore: () => 0,
};
const xTD = tf.tensor2d(tokens.x, [T, d]);

it.each([
  { router: 'switch' },
  { router: 'switch', expertsPerToken: 2 },
  { router: 'switch', expertsPerToken: 3, renormalize: false },
  { router: 'moge', deviceGroups: 2, choicesPerDeviceGroup: 2 },
  { router: 'locmoe', expertsPerToken: 2 },
  { router: 'locmoe', learnedGroups: true },
  { router: 'locmoe-plus', selection: 'tcr', affinityThreshold: 0.6 },
  { router: 'locmoe-plus', selection: 'tcr', learnedGroups: true, expertGroups: 1 },
] as const)('the router derived from the rule of %j decides as the router itself', (moe) => {
  const context = routerContext(
    { numExperts: E, expertGroups: 2, capacityFactor: 0.8, ...moe },
    { dModel: d },
  );
  const policy = routerPolicy(moe.router);
  const router = createRouter(context);
  const derived = createByPolicy({ ...policy, create: null }, context);
  const parameters = randomParameters(router);
  for (const training of [false, true]) {
    const input = { ...tokens, xTD, parameters, training };
    // The capacity of locmoe is not classic in training, and the losses of the two are others.
    if (training && moe.router.startsWith('locmoe')) continue;
    const [own, its] = [router.route(input), derived.route(input)];
    for (const each of ['numChoices', 'chosenTK', 'expertsTK', 'keptOfRank', 'capacityE'] as const)
      expect(its[each], each).toEqual(own[each]);
    const isChoice = own.chosenTK.map((expert) => (expert < 0 ? 0 : 1));
    const weights = [its, own].map(({ weightsTK }) =>
      weightsTK!.dataSync().map((w, at) => w * isChoice[at]!),
    );
    expect(Math.max(...weights[0]!.map((w, at) => Math.abs(w - weights[1]![at]!)))).toBeLessThan(1e-5);
    if (!training) continue;
    expect(its.auxiliaryLoss!.dataSync()[0]).toBeCloseTo(own.auxiliaryLoss!.dataSync()[0]!, 6);
    expect(its.gateCosine!.count).toBe(own.gateCosine!.count);
    expect(its.gateCosine!.sum).toBeCloseTo(own.gateCosine!.sum, 3);
  }
});

const scored = softmax(multiply(cosine('gate'), parameter('temperature')));
const cosineRouter = defineRouter({
  parameters: ({ numExperts }, dModel) => [
    { name: 'gate', shape: [dModel, numExperts] },
    { name: 'temperature', shape: [1], init: { kind: 'constant', value: 8 } },
  ],
  rule: () => ({ choose: top(scored, 2) }),
});
const context = routerContext({ numExperts: E, expertGroups: 1, capacityFactor: null }, { dModel: d });

it('fills in what parameters and rules leave out', () => {
  const [gate, temperature] = cosineRouter.parameters(context.moe, d);
  expect(gate).toMatchObject({ init: { kind: 'normal' }, placement: 'shared', decay: true });
  expect(temperature).toMatchObject({ init: { value: 8 }, placement: 'shared', decay: false });
  expect(cosineRouter.rule(context.moe, d)).toEqual({
    choose: { op: 'top', by: scored, count: 2, limit: null },
    keep: null,
    weigh: { by: scored, share: true },
    affinities: scored,
  });
  expect(wholeRule({ choose: top(scored, 1) }).weigh.share).toBe(false);
});

const parameters = new Map<string, tf.Tensor>([
  ['gate', tf.tensor2d(randomValues('gate', d * E), [d, E])],
  ['temperature', tf.tensor1d([2])],
]);
const input = { ...tokens, xTD, parameters, training: true };

it('has the gradients of finite differences in weights and loss', () => {
  const few = 6;
  const op = (x: tf.Tensor, gate: tf.Tensor, temperature: tf.Tensor) => {
    // All experts are chosen, so that the steps of the finite differences change only their order.
    const policy = { ...cosineRouter, rule: () => wholeRule({ choose: top(scored, E) }) };
    const { weightsTK, auxiliaryLoss, chosenTK } = createByPolicy(policy, context).route({
      xTD: x as tf.Tensor2D,
      tokenIdsT: tokens.tokenIdsT.subarray(0, few),
      idBefore: () => 0,
      domainsT: tokens.domainsT.subarray(0, few),
      training: true,
      parameters: new Map([
        ['gate', gate],
        ['temperature', temperature],
      ]),
    });
    const keys = chosenTK.map((expert, choice) => Math.floor(choice / E) * E + expert);
    const byExpert = Int32Array.from(keys.keys()).sort((a, b) => keys[a]! - keys[b]!);
    const weights = tf.gather(tf.reshape(weightsTK!, [-1]), tf.tensor1d(byExpert, 'int32'));
    return tf.concat([weights, tf.reshape(tf.mul(auxiliaryLoss!, 200), [1])]);
  };
  checkGradients(op, [
    { shape: [few, d], values: tokens.x.slice(0, few * d) },
    { shape: [d, E], values: randomValues('gate', d * E) },
    { shape: [1], values: Float32Array.of(2) },
  ]);
});

it('computes every part of a rule', () => {
  const numbers = parameter('temperature');
  const values = (of: ReturnType<typeof add>) => {
    const loss = (_: unknown, { valuesOf }: LossInput) => tf.sum(valuesOf(of)) as tf.Scalar;
    const { auxiliaryLoss } = createByPolicy({ ...cosineRouter, loss }, context).route(input);
    return auxiliaryLoss!.dataSync()[0]! / (T * E);
  };
  expect(values(numbers)).toBeCloseTo(2, 6);
  expect(values(add(numbers, 1))).toBeCloseTo(3, 6);
  expect(values(subtract(1, numbers))).toBeCloseTo(-1, 6);
  expect(values(multiply(numbers, numbers))).toBeCloseTo(4, 6);
  expect(values(divide(1, numbers))).toBeCloseTo(0.5, 6);
  expect(values(relu(subtract(1, numbers)))).toBe(0);
  expect(values(sigmoid(numbers))).toBeCloseTo(1 / (1 + Math.exp(-2)), 6);
  expect(values(tanh(numbers))).toBeCloseTo(Math.tanh(2), 6);
  expect(values(exp(numbers))).toBeCloseTo(Math.exp(2), 5);
  expect(values(softmax(numbers))).toBeCloseTo(1 / E, 6);
});

it('computes cosines', () => {
  const { scores } = createByPolicy(
    { ...cosineRouter, rule: () => wholeRule({ choose: top(cosine('gate'), 1) }) },
    context,
  ).route({ ...input, wantsScores: true });
  const gate = parameters.get('gate')!.dataSync();
  for (let t = 0; t < T; t++)
    for (let e = 0; e < E; e++) {
      const [x, w] = [tokens.x.subarray(t * d, (t + 1) * d), gate.filter((_, at) => at % E === e)];
      const dot = x.reduce((total, value, i) => total + value * w[i]!, 0);
      expect(scores!.gateTE[t * E + e]).toBeCloseTo(dot / Math.hypot(...x) / Math.hypot(...w), 5);
    }
});

it('weighs fewer choices than a token may have by their shares', () => {
  const uniform = softmax(multiply(parameter('temperature'), 1));
  const rule = () => wholeRule({ choose: topP(uniform, 5, 0.3) });
  const { numChoices, weightsTK, chosenTK } = createByPolicy({ ...cosineRouter, rule }, context).route(input);
  // Three of eight equal probabilities reach 0.3.
  expect([numChoices, ...chosenTK.subarray(0, 5)]).toEqual([5, 0, 1, 2, -1, -1]);
  const expected = [1 / 3, 1 / 3, 1 / 3, 0, 0];
  for (const [k, weight] of expected.entries()) expect(weightsTK!.dataSync()[k]).toBeCloseTo(weight, 6);
});

it('records its scores, for which controls of its gate stand in', () => {
  const route = (gateControl?: 'zero' | 'shuffled') =>
    createByPolicy(cosineRouter, context).route({ ...input, wantsScores: true, gateControl });
  const [plain, zero, shuffled] = [route(), route('zero'), route('shuffled')];
  expect(new Set(zero.scores!.gateTE)).toEqual(new Set([0]));
  expect(shuffled.scores!.gateTE.toSorted()).toEqual(plain.scores!.gateTE.toSorted());
  expect(shuffled.chosenTK).not.toEqual(plain.chosenTK);
  expect(createByPolicy(cosineRouter, context).route(input).scores).toBeUndefined();
  const biased = top(softmax(add(cosine('gate'), parameter('load'))), 2);
  const load = randomValues('load', E);
  const { scores } = createByPolicy(
    { ...cosineRouter, rule: () => wholeRule({ choose: biased }) },
    context,
  ).route({
    ...input,
    wantsScores: true,
    parameters: new Map([...parameters, ['load', tf.tensor1d(load)]]),
  });
  expect(scores!.biasE).toEqual(load);
  expect(scores!.preferenceTE).toBeNull();
  expect(Math.max(...scores!.gateTE)).toBeLessThanOrEqual(1);
});

it('adds a loss of its own to the balance', () => {
  const lossOf = (loss: ((moe: unknown, its: LossInput) => tf.Scalar) | null) =>
    createByPolicy({ ...cosineRouter, loss }, context)
      .route(input)
      .auxiliaryLoss!.dataSync()[0]!;
  const balanced = lossOf(null);
  expect(balanced).toBeGreaterThan(0);
  expect(lossOf((_, { balance }) => balance(scored))).toBe(balanced);
  expect(lossOf((_, { balance, valuesOf }) => balance(valuesOf(scored)))).toBe(balanced);
  expect(lossOf((_, { balance }) => tf.add(balance(scored), 3))).toBeCloseTo(balanced + 3, 6);
});

const wrong: [string, ShortRule, string][] = [
  ['an unknown parameter', { choose: top(cosine('gaet'), 2) }, 'names gaet; the parameters are gate, bias'],
  [
    'a vector as gate',
    { choose: top(linear('bias'), 2) },
    'has linear of bias, whose shape is [8], and not [24, 8]',
  ],
  ['a matrix as bias', { choose: top(parameter('gate'), 2) }, 'shape is [24, 8], and not [8] or [1]'],
  [
    'other factors',
    { choose: top(grouped('bias'), 2) },
    'has grouped of bias, whose shape is [8], and not [24]',
  ],
  ['too many experts', { choose: top(linear('gate'), 9) }, 'chooses 9 of the 8 experts of a domain'],
  ['half an expert', { choose: top(linear('gate'), 1.5) }, 'chooses 1.5 experts'],
  [
    'uneven groups',
    { choose: topOfGroups(linear('gate'), 3, 2) },
    'chooses 3 experts in 2 of 2 groups of the 8',
  ],
  [
    'no groups',
    { choose: top(linear('gate'), 2, { groups: 2, open: 4 }) },
    'chooses 2 experts in 4 of 2 groups',
  ],
  ['no sum', { choose: topP(linear('gate'), 2, 0) }, 'chooses experts whose scores sum to 0'],
  [
    'an unknown operation in its scores',
    { choose: top(softmax({ op: 'lineer', weight: 'gate' } as never), 2) },
    'has op lineer instead of one of linear, cosine, ',
  ],
  [
    'an unknown choice',
    { choose: { op: 'best', by: linear('gate'), count: 2 } as never },
    'has op best instead of one of top, topOfGroups, topP, table',
  ],
  [
    'half a product',
    { choose: top(multiply(linear('gate'), undefined as never), 2) },
    'multiply without right',
  ],
  ['no scores', { choose: top(undefined as never, 2) }, 'has top without by'],
  [
    'unknown weights',
    { choose: top(linear('gate'), 2), weigh: { by: 'gate' as never, share: true } },
    'has op undefined instead of one of linear',
  ],
  ['ids', { choose: top(ofId('gate'), 2) }, 'has a table, which is state: give the router a function create'],
  [
    'a table',
    { choose: { op: 'table', tables: [{ experts: 'table', before: 0 }] } },
    'has a table, which is state',
  ],
  [
    'thresholds',
    { choose: top(linear('gate'), 2), keep: { scores: linear('gate'), threshold: 'bias' } },
    'keeps choices by thresholds, which are state',
  ],
];
const specs = defineRouter({
  parameters: () => [
    { name: 'gate', shape: [d, E] },
    { name: 'bias', shape: [E] },
  ],
}).parameters(context.moe, d);

it.each(wrong)('a rule with %s is refused', (_, rule, why) => {
  expect(problemOfRule(wholeRule(rule), specs, context.moe, d, true)).toContain(why);
});

it('a rule that fits is not refused, and one of a router with state may name it', () => {
  const fitting = [
    cosineRouter.rule(context.moe, d)!,
    wholeRule({ choose: top(groupedCosine(), 2, { groups: 4, open: 2 }) }),
  ];
  for (const rule of fitting)
    expect(problemOfRule(rule, cosineRouter.parameters(context.moe, d), context.moe, d, true)).toBeNull();
  const ofState = wholeRule({ choose: top(add(linear('gate'), parameter('load')), 2) });
  expect(problemOfRule(ofState, specs, context.moe, d, false)).toBeNull();
  const seven = { ...context.moe, numExperts: 7 };
  expect(problemOfRule(fitting[1]!, specs, seven, d, true)).toContain('7 does not divide model.dModel 24');
});
