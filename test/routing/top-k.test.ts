import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig } from '../../src/routing/index.js';
import { checkGradients, expectClose, randomIntegers, randomValues } from '../model/support.js';
import { routerContext } from './context.js';

const T = 30;
const d = 24;
const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

/** The inputs from which a gate is computed. */
interface Gate {
  readonly x: Float32Array;
  readonly domainsT: Int32Array;
  readonly parameters: Readonly<Record<string, Float32Array>>;
}

/** Scores that rank experts, and logits of which the softmax is taken, for one token and expert. */
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

const SHAPES = { switch: { weight: [d, 0] }, locmoe: { bias: [0] } } as const;

function gateOf(router: 'switch' | 'locmoe', seed: number, E: number): Gate {
  const shapes = Object.entries<readonly number[]>(SHAPES[router]);
  return {
    x: randomValues(`x ${seed}`, T * d),
    domainsT: randomIntegers(`domains ${seed}`, T, 3),
    parameters: Object.fromEntries(
      shapes.map(([name, shape]) => [
        name,
        randomValues(
          `${name} ${seed}`,
          shape.reduce((size, n) => size * (n || E), 1),
          0.3,
        ),
      ]),
    ),
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

function route(router: ReturnType<typeof createRouter>, gate: Gate, E: number) {
  const shapes = SHAPES as Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  const shapeOf = (name: string) =>
    Object.values(shapes)
      .flatMap((each) => each[name] ?? [])
      .map((n) => n || E);
  return router.route({
    xTD: tf.tensor2d(gate.x, [T, d]),
    tokenIdsT: new Int32Array(T),
    domainsT: gate.domainsT,
    training: true,
    parameters: new Map(
      Object.entries(gate.parameters).map(([name, values]) => [name, tf.tensor(values, shapeOf(name))]),
    ),
  });
}

describe.each(['switch', 'locmoe'] as const)('top-k of %s', (router) => {
  it.each([
    [4, 1, 1],
    [8, 1, 2],
    [8, 2, 3],
    [6, 2, 3],
  ])('of %i experts in %i groups, k = %i, equals the loop for 20 seeds', (E, expertGroups, K) => {
    const context = routerContext(
      {
        router,
        numExperts: E,
        expertGroups,
        expertsPerToken: K,
        capacityFactor: 0.8,
        auxiliaryLossWeight: 0.05,
        localityLossWeight: 0.02,
      },
      { dModel: d },
    );
    for (let seed = 0; seed < 20; seed++) {
      const gate = gateOf(router, seed, E);
      const slow = reference(router, gate, context.moe, context.expertsOfDomain);
      const decision = route(createRouter(context), gate, E);
      expect(decision.numChoices).toBe(K);
      expect([...decision.chosenTK]).toEqual(slow.chosen);
      expect([...decision.expertsTK]).toEqual(slow.kept);
      expect([...decision.routedE]).toEqual(slow.load);
      expect([...decision.capacityE]).toEqual(Array(E).fill(slow.capacity));
      expectClose(decision.weightsTK!.dataSync(), slow.weights, 1e-5);
      expect(decision.auxiliaryLoss!.dataSync()[0]).toBeCloseTo(slow.loss, 6);
      expect(decision.gateCosine!.count).toBe(T * K);
    }
  });

  it('weights have the gradients of finite differences', () => {
    const E = 4;
    const few = 5;
    // All experts of a domain, so that a step of the differences can change their order alone.
    const context = routerContext(
      { router, numExperts: E, expertsPerToken: E, capacityFactor: null },
      { dModel: d },
    );
    const gate = gateOf(router, 1, E);
    const [[name, values]] = Object.entries(gate.parameters);
    const op = (xTD: tf.Tensor, parameter: tf.Tensor) => {
      const { weightsTK, chosenTK } = createRouter(context).route({
        xTD: xTD as tf.Tensor2D,
        tokenIdsT: new Int32Array(few),
        domainsT: new Int32Array(few),
        training: true,
        parameters: new Map([[name, parameter]]),
      });
      const keys = chosenTK.map((expert, choice) => Math.floor(choice / E) * E + expert);
      const byExpert = Int32Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b]);
      return tf.gather(tf.reshape(weightsTK!, [-1]), tf.tensor1d(byExpert, 'int32'));
    };
    checkGradients(op, [
      { shape: [few, d], values: gate.x.slice(0, few * d) },
      { shape: name === 'bias' ? [E] : [d, E], values },
    ]);
  });

  it('of equally good experts takes the lower ones', () => {
    const context = routerContext(
      { router, numExperts: 6, expertGroups: 2, expertsPerToken: 2 },
      { dModel: d },
    );
    const equal = { ...gateOf(router, 0, 6), x: new Float32Array(T * d), parameters: {} };
    const zeros = router === 'switch' ? { weight: new Float32Array(6 * d) } : { bias: new Float32Array(6) };
    const { chosenTK } = route(createRouter(context), { ...equal, parameters: zeros }, 6);
    expect([...chosenTK]).toEqual([...equal.domainsT].flatMap((a) => (a % 2 ? [3, 4] : [0, 1])));
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
    const estimated = route(router, gate, E).capacityE[0]!;
    router.endStep();
    return [estimated, route(router, gate, E).capacityE[0]!];
  };
  // With all experts of a token chosen, each expert has every token, and a head of nearly all of them.
  expect(capacities(E)).toEqual([T, expect.closeTo(T, -0.5)]);
  expect(capacities(1)[0]).toBe(Math.ceil(T / E));
});
