import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig } from '../../../src/routing/index.js';
import { expectClose, randomIntegers, randomValues } from '../../model/support.js';
import { routerContext, routeTokens, sum } from '../context.js';

const T = 30;
const d = 24;

/** The inputs from which a gate is computed. */
interface Gate {
  readonly x: Float32Array;
  readonly domainsT: Int32Array;
  readonly parameters: Readonly<Record<string, Float32Array>>;
}

/** For one token and expert, the score that ranks experts, and the logit whose softmax is taken. */
type Scores = (gate: Gate, t: number, e: number, moe: MoeConfig) => readonly [rank: number, logit: number];

const SCORES: Readonly<Record<string, Scores>> = {
  // Switch, eq. 1: h(x) = W_r x.
  switch: ({ x, parameters }, t, e, { numExperts }) => {
    const logit = sum(
      Array.from({ length: d }, (_, i) => x[t * d + i] * parameters.weight[i * numExperts + e]),
    );
    return [logit, logit];
  },
  // LocMoE, eq. 4: ReLU of the mean over the coordinates of an expert, scaled to unit variance.
  locmoe: ({ x, parameters }, t, e, { numExperts, gateScale }) => {
    const width = d / numExperts;
    const own = x.subarray(t * d + e * width, t * d + (e + 1) * width);
    const argument = (gateScale * sum(own)) / Math.sqrt(width) + parameters.bias[e];
    return [argument, Math.max(0, argument)];
  },
};

/** The parameter of a router, and its shape for a number of experts. */
const PARAMETERS = {
  switch: ['weight', (E: number) => [d, E]],
  locmoe: ['bias', (E: number) => [E]],
} as const;

function gateOf(router: 'switch' | 'locmoe', seed: number, E: number): Gate {
  const [name, shapeOf] = PARAMETERS[router];
  const values = randomValues(`${name} ${seed}`, tf.util.sizeFromShape(shapeOf(E)), 0.3);
  return {
    x: randomValues(`x ${seed}`, T * d),
    domainsT: randomIntegers(`domains ${seed}`, T, 3),
    parameters: { [name]: values },
  };
}

/** The routing of all tokens, by loops. */
function reference(router: string, gate: Gate, moe: MoeConfig, groups: readonly Int32Array[]) {
  const { numExperts: E, expertsPerToken: K } = moe;
  const load = Array<number>(E).fill(0);
  const meanOfE = Array<number>(E).fill(0);
  const chosen: number[] = [];
  const weights: number[] = [];
  for (let t = 0; t < T; t++) {
    const open = [...groups[gate.domainsT[t]]];
    const scores = new Map(open.map((e) => [e, SCORES[router](gate, t, e, moe)]));
    const total = sum(open.map((e) => Math.exp(scores.get(e)![1])));
    const p = (e: number) => Math.exp(scores.get(e)![1]) / total;
    const best = open.sort((a, b) => scores.get(b)![0] - scores.get(a)![0]).slice(0, K);
    for (const e of scores.keys()) meanOfE[e] += p(e) / T;
    for (const e of best) load[e]++;
    chosen.push(...best);
    // Mixtral, section 2.1: the softmax of the K logits alone.
    const ofBest = sum(best.map(p));
    weights.push(...best.map((e) => (K === 1 ? p(e) : p(e) / ofBest)));
  }
  const capacity = Math.ceil((0.8 * T * K) / E);
  const taken = Array<number>(E).fill(0);
  const kept = chosen.map((e) => (taken[e]++ < capacity ? e : -1));
  // f_i is the share of choices; alpha is 0.05.
  let loss = 0.05 * E * sum(load.map((count, e) => (count / (T * K)) * meanOfE[e]));
  // On one node the localised distribution is uniform over the experts of a domain (LocMoE, eq. 6).
  if (router === 'locmoe')
    for (let e = 0; e < E; e++) {
      const target = sum(
        [...gate.domainsT].map((a) => (groups[a].includes(e) ? 1 / groups[a].length / T : 0)),
      );
      if (target > 0) loss += 0.02 * meanOfE[e] * Math.log(meanOfE[e] / target);
    }
  return { chosen, weights, kept, capacity, loss, load };
}

function route(router: ReturnType<typeof createRouter>, gate: Gate, training = true) {
  const tensors = router.parameterSpecs.map(
    ({ name, shape }) => [name, tf.tensor(gate.parameters[name]!, [...shape])] as const,
  );
  return routeTokens(router, gate, new Map(tensors), training);
}

describe.each(['switch', 'locmoe'] as const)('top-k of %s', (name) => {
  it.each([
    [4, 1, 1, 1],
    [8, 4, 1, 3],
    [8, 1, 2, 0.5],
    [6, 2, 3, 2],
  ])('of %i experts in %i groups, k = %i, scale %f, equals the loop', (E, expertGroups, K, gateScale) => {
    const context = routerContext(
      {
        router: name,
        numExperts: E,
        expertGroups,
        expertsPerToken: K,
        gateScale,
        capacityFactor: 0.8,
        auxiliaryLossWeight: 0.05,
        localityLossWeight: 0.02,
      },
      { dModel: d },
    );
    for (let seed = 0; seed < 5; seed++) {
      const gate = gateOf(name, seed, E);
      const slow = reference(name, gate, context.moe, context.expertsOfDomain);
      const router = createRouter(context);
      const decision = route(router, gate);
      expect(decision.numChoices).toBe(K);
      expect([...decision.chosenTK]).toEqual(slow.chosen);
      expect([...decision.expertsTK]).toEqual(slow.kept);
      expect([...decision.routedE]).toEqual(slow.load);
      expect([...decision.capacityE]).toEqual(Array(E).fill(slow.capacity));
      expectClose(decision.weightsTK!.dataSync(), slow.weights, 1e-5);
      expect(decision.auxiliaryLoss!.dataSync()[0]).toBeCloseTo(slow.loss, 6);
      expect([...decision.overCapacityE]).toEqual(slow.load.map((n) => Math.max(0, n - slow.capacity)));
      expect(sum(decision.notChosenE)).toBe(0);
      expect(decision.gateCosine!.count).toBe(T * K);
      const evaluated = route(router, gate, false);
      expect([...evaluated.expertsTK]).toEqual(slow.chosen);
      expect(evaluated.auxiliaryLoss).toBeNull();
    }
  });
});

it('locmoe estimates its capacity from choices, of which a token has several', () => {
  const E = 4;
  const gate = { ...gateOf('locmoe', 3, E), domainsT: new Int32Array(T) };
  const capacities = (expertsPerToken: number) => {
    const moe = {
      router: 'locmoe',
      numExperts: E,
      expertsPerToken,
      capacityFactor: 1,
      capacityBatches: 1,
    } as const;
    const router = createRouter(routerContext({ ...moe, affinityShare: 0.999 }, { dModel: d }));
    const estimated = route(router, gate).capacityE[0]!;
    router.endStep();
    return [estimated, route(router, gate).capacityE[0]!];
  };
  // If each token chooses all experts, each expert has all tokens, and its affinity head is nearly all of them.
  expect(capacities(E)).toEqual([T, expect.closeTo(T, -0.5)]);
  expect(capacities(1)[0]).toBe(Math.ceil(T / E));
});
