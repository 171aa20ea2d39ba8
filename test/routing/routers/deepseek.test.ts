import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig, type Router } from '../../../src/routing/index.js';
import { expectClose, randomIntegers, randomValues } from '../../model/support.js';
import { routerContext, routeTokens, sum } from '../context.js';

const T = 40;
const d = 6;
const contextOf = (moe: Partial<MoeConfig>) => routerContext({ router: 'deepseek', ...moe });
const gateOf = (E: number, seed = 0) => randomValues(`gate ${seed}`, d * E, 0.5);

interface Tokens {
  readonly x: Float32Array;
  readonly domainsT: Int32Array;
}

const tokensOf = (seed: number): Tokens => ({
  x: randomValues(`x ${seed}`, T * d),
  domainsT: randomIntegers(`domains ${seed}`, T, 3),
});

function route(router: Router, { x, domainsT }: Tokens, gate: Float32Array, training = true) {
  return router.route({
    xTD: tf.tensor2d(x, [domainsT.length, d]),
    tokenIdsT: new Int32Array(domainsT.length),
    idBefore: () => 0,
    domainsT,
    training,
    wantsScores: true,
    parameters: new Map([['weight', tf.tensor2d(gate, [d, gate.length / d])]]),
  });
}

/** The routing of DeepSeek-V3 for each token, with its equations' numbers. `bias` has one number for each expert. */
function reference(
  { x, domainsT }: Tokens,
  gate: Float32Array,
  bias: ArrayLike<number>,
  { expertsPerToken: K, deviceGroups: D, maxDeviceGroups: M, capacityFactor, numExperts: E }: MoeConfig,
  groups: readonly Int32Array[],
) {
  const chosen: number[] = [];
  const weights: number[] = [];
  const load = Array<number>(E).fill(0);
  const P = Array<number>(E).fill(0);
  for (let t = 0; t < domainsT.length; t++) {
    const open = [...groups[domainsT[t]]];
    // (15)
    const s = Array.from({ length: E }, (_, i) => {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += x[t * d + j] * gate[j * E + i];
      return 1 / (1 + Math.exp(-dot));
    });
    const biased = (i: number) => s[i] + bias[i];
    const byScore = (a: number, b: number) => biased(b) - biased(a);
    let reachable = open;
    if (M !== null) {
      // "At most M nodes, which are selected according to the sum of the highest K_r / M affinity scores".
      const size = open.length / D;
      const nodes = Array.from({ length: D }, (_, n) => open.slice(n * size, (n + 1) * size));
      const scoreOf = (node: number[]) =>
        sum(
          node
            .toSorted(byScore)
            .slice(0, K / M)
            .map(biased),
        );
      reachable = nodes
        .sort((a, b) => scoreOf(b) - scoreOf(a))
        .slice(0, M)
        .flat();
    }
    // (16), then (13)
    const top = reachable.toSorted(byScore).slice(0, K);
    chosen.push(...top);
    weights.push(...top.map((i) => (K === 1 ? s[i] : s[i] / sum(top.map((j) => s[j])))));
    for (const i of top) load[i]++;
    // (19), (20)
    for (const i of open) P[i] += s[i] / sum(open.map((j) => s[j])) / domainsT.length;
  }
  const capacity = Math.ceil((capacityFactor! * domainsT.length * K) / E);
  const taken = Array<number>(E).fill(0);
  const kept = chosen.map((i) => (taken[i]++ < capacity ? i : -1));
  // (17), (18): f_i = N / (K T) times the choices of i.
  const balance = sum(load.map((n, i) => (E / (K * domainsT.length)) * n * P[i]));
  return { chosen, weights, kept, load, balance };
}

/** Moves biases as algorithm 1 of arXiv 2408.15664 does, and shifts those of each group to a mean of 0. */
function movedBias(
  bias: readonly number[],
  load: readonly number[],
  gamma: number,
  groups: readonly Int32Array[],
) {
  const moved = [...bias];
  for (const group of new Set(groups.map(String))) {
    const experts = group.split(',').map(Number);
    const mean = sum(experts.map((i) => load[i])) / experts.length;
    for (const i of experts) moved[i] += gamma * Math.sign(mean - load[i]);
    const shift = sum(experts.map((i) => moved[i])) / experts.length;
    for (const i of experts) moved[i] -= shift;
  }
  return moved;
}

describe.each([
  [4, 1, 1, 2, null],
  [8, 2, 3, 2, null],
  [16, 1, 4, 4, 2],
  [16, 2, 2, 4, 1],
])('deepseek: %i experts, %i groups, k = %i, %i device groups, at most %s', (E, G, K, D, M) => {
  const context = contextOf({
    numExperts: E,
    expertGroups: G,
    expertsPerToken: K,
    deviceGroups: D,
    maxDeviceGroups: M,
    capacityFactor: 0.9,
    auxiliaryLossWeight: 0.07,
    biasUpdateRate: 0.03,
  });

  it('equals the loop, step by step as its biases move', () => {
    const router = createRouter(context);
    let bias = Array<number>(E).fill(0);
    for (let seed = 0; seed < 6; seed++) {
      const [tokens, gate] = [tokensOf(seed), gateOf(E)];
      const slow = reference(tokens, gate, bias, context.moe, context.expertsOfDomain);
      const decision = route(router, tokens, gate);
      expect([...decision.chosenTK]).toEqual(slow.chosen);
      expect([...decision.expertsTK]).toEqual(slow.kept);
      expect([...decision.routedE]).toEqual(slow.load);
      expectClose(decision.weightsTK!.dataSync(), slow.weights, 1e-5);
      expect(decision.auxiliaryLoss!.dataSync()[0]).toBeCloseTo(0.07 * slow.balance, 6);
      expect(decision.gateCosine!.count).toBe(T * K);
      expectClose(decision.scores!.biasE!, bias, 1e-6);
      // Outside training the biases still apply, and nothing is dropped.
      const evaluated = route(router, tokens, gate, false);
      expect([...evaluated.expertsTK]).toEqual(slow.chosen);
      expect(evaluated.auxiliaryLoss).toBeNull();
      router.endStep();
      bias = movedBias(bias, slow.load, 0.03, context.expertsOfDomain);
      expectClose(router.state.get('bias')!, bias, 1e-6);
    }
    expect(Math.max(...bias)).toBeGreaterThan(0.05);
  });
});

it('with one expert a token the gate has a gradient through the weight', () => {
  const context = contextOf({ numExperts: 4, auxiliaryLossWeight: 0 });
  const tokens = { ...tokensOf(1), domainsT: new Int32Array(T) };
  const weights = (weight: tf.Tensor) =>
    routeTokens(createRouter(context), tokens, new Map([['weight', weight]])).weightsTK!;
  const gradient = tf.grad((weight) => tf.sum(weights(weight)))(tf.tensor2d(gateOf(4), [d, 4]));
  expect(Math.max(...gradient.abs().dataSync())).toBeGreaterThan(0.1);
});

describe('the balancing bias', () => {
  const moe = { numExperts: 8, expertsPerToken: 2, biasUpdateRate: 0.02, capacityFactor: null } as const;
  // A gate that prefers some experts for every token.
  const liking = gateOf(8).map((w, i) => w / 4 + 0.05 * (i % 8));

  it('evens the load without an auxiliary loss, and stays at a mean of 0', () => {
    const router = createRouter(contextOf({ ...moe, biasUpdateRate: 0.003 }));
    const loadE = Array.from({ length: 5 }, () => new Float64Array(8));
    for (let step = 0; step < 250; step++) {
      const { x, domainsT } = tokensOf(step);
      const { routedE } = route(router, { x: x.map(Math.abs), domainsT }, liking);
      routedE.forEach((count, expert) => {
        loadE[Math.floor(step / 50)]![expert]! += count;
      });
      router.endStep();
    }
    const imbalance = loadE.map((load) => Math.max(...load) / (sum(load) / 8));
    expect(imbalance[0]).toBeGreaterThan(1.5);
    expect(imbalance[4]).toBeLessThan(1.1);
    expect(Math.abs(sum(router.state.get('bias')!))).toBeLessThan(1e-5);
  });

  it('moves once a step, whatever the micro-batches, and not in a step that is skipped', () => {
    const [split, whole] = [createRouter(contextOf(moe)), createRouter(contextOf(moe))];
    const parts = [tokensOf(1), tokensOf(2)];
    for (const part of parts) route(split, part, liking);
    split.endStep();
    const { x, domainsT } = {
      x: parts.flatMap((p) => [...p.x]),
      domainsT: parts.flatMap((p) => [...p.domainsT]),
    };
    route(whole, { x: Float32Array.from(x), domainsT: Int32Array.from(domainsT) }, liking);
    whole.endStep();
    expect(split.state.get('bias')).toEqual(whole.state.get('bias'));
    expect(Math.max(...split.state.get('bias')!)).toBeGreaterThan(0.01);
    const before = split.state.get('bias')!.slice();
    route(split, tokensOf(3), liking);
    split.skipStep();
    split.endStep();
    expect(split.state.get('bias')).toEqual(before);
  });

  it('stays where the rate is 0, and where a domain has no tokens', () => {
    const still = createRouter(contextOf({ ...moe, biasUpdateRate: 0 }));
    still.state.get('bias')!.set([0.3, -0.1]);
    const before = still.state.get('bias')!.slice();
    route(still, tokensOf(1), liking);
    still.endStep();
    expect(still.state.get('bias')).toEqual(before);
    const grouped = createRouter(contextOf({ ...moe, expertGroups: 2 }));
    route(grouped, { ...tokensOf(1), domainsT: new Int32Array(T) }, liking);
    grouped.endStep();
    const [first, second] = [0, 4].map((from) => grouped.state.get('bias')!.subarray(from, from + 4));
    expect(Math.max(...first!)).toBeGreaterThan(0.01);
    expect([...second!]).toEqual([0, 0, 0, 0]);
  });
});
