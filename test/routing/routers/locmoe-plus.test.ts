import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { affinityHead, workingCapacity } from '../../../src/routing/capacity/capacity.js';
import { createRouter, type MoeConfig, type Router, type RouterContext } from '../../../src/routing/index.js';
import { checkGradients, expectClose, randomIntegers, randomValues } from '../../model/support.js';
import { routerContext, routeTokens, sum } from '../context.js';

const numTokens = 60;
const d = 24;
const domainsT = randomIntegers('domains', numTokens, 3);

function contextOf(moe: Partial<MoeConfig>, numSteps = 100): RouterContext<MoeConfig> {
  return routerContext({ router: 'locmoe-plus', capacityFactor: 1.1, ...moe }, { dModel: d, numSteps });
}

function route(router: Router, x: Float32Array, training: boolean) {
  return routeTokens(router, { x, domainsT: domainsT.subarray(0, x.length / d) }, new Map(), training);
}

/** Does a training step whose micro-batches are `batches`. */
function trainStep(router: Router, ...batches: Float32Array[]) {
  const decisions = batches.map((x) => route(router, x, true));
  router.endStep();
  return decisions[0];
}

/** Cosines with dense GrAP weights, probabilities, and each token's candidates, best first. */
function slowScores(x: Float32Array, { moe, expertsOfDomain }: RouterContext<MoeConfig>) {
  const { numExperts } = moe;
  return Array.from({ length: x.length / d }, (_, t) => {
    const token = x.subarray(t * d, t * d + d);
    const cosines = Array.from({ length: numExperts }, (_unused, e) => {
      const inGroup = [...token].filter((_value, j) => Math.floor((j * numExperts) / d) === e);
      return sum(inGroup) / Math.hypot(...token) / Math.sqrt(d / numExperts);
    });
    const group = [...expertsOfDomain[domainsT[t]]];
    const scores = cosines.map((cosine, e) =>
      group.includes(e) ? Math.exp((cosine * Math.sqrt(d)) / moe.temperature) : 0,
    );
    const probs = scores.map((score) => score / sum(scores));
    const order = group.toSorted((a, b) => probs[b] - probs[a]);
    const limit = moe.selection === 'ecr' ? group.length : Math.min(moe.maxExpertsPerToken, group.length);
    let count = 1;
    while (
      count < limit &&
      (moe.selection === 'ecr' || sum(order.slice(0, count).map((e) => probs[e])) < moe.affinityThreshold)
    )
      count++;
    return { cosines, probs, candidates: order.slice(0, count) };
  });
}

describe.each([
  ['both', 4, 1],
  ['both', 8, 4],
  ['tcr', 12, 2],
  ['ecr', 6, 2],
] as const)('locmoe-plus, selection %s, %i experts in %i groups', (selection, numExperts, expertGroups) => {
  const context = contextOf({
    selection,
    numExperts,
    expertGroups,
    affinityThreshold: 0.7,
    temperature: 0.8,
  });
  const x = randomValues('x', numTokens * d);
  const slow = slowScores(x, context);
  const classic = Math.ceil((1.1 * numTokens) / numExperts);

  /** Tokens that each expert takes, and its capacity, computed one expert at a time. */
  const slowExperts = Array.from({ length: numExperts }, (_, e) => {
    const candidates = [...slow.keys()].filter((t) => slow[t].candidates.includes(e));
    const cosines = Float32Array.from(candidates, (t) => slow[t].cosines[e]);
    const { count, leastCosine } = affinityHead(
      cosines.toSorted(),
      context.moe.affinityShare,
      Math.sqrt(d) / 0.8,
    );
    const estimate = workingCapacity({ classic, count, delta: leastCosine, numExperts, dModel: d });
    const capacity = candidates.length === 0 ? classic : estimate;
    const order =
      selection === 'tcr'
        ? candidates
        : candidates.toSorted((a, b) => slow[b].cosines[e] - slow[a].cosines[e]);
    const dropped = {
      overCapacity: order.slice(classic).length,
      notChosen: order.slice(capacity, classic).length,
    };
    return { capacity, routed: candidates.length, kept: order.slice(0, capacity), ...dropped };
  });

  it('equals the loop in training', () => {
    const decision = route(createRouter(context), x, true);
    const { numChoices, expertsTK } = decision;
    const weights = decision.weightsTK!.dataSync();
    slow.forEach(({ candidates, probs }, t) => {
      for (let k = 0; k < numChoices; k++) {
        const expert = candidates[k];
        const isKept = expert !== undefined && slowExperts[expert].kept.includes(t);
        expect(expertsTK[t * numChoices + k]).toBe(isKept ? expert : -1);
        const weight = expert === undefined ? 0 : probs[expert] / sum(candidates.map((e) => probs[e]));
        expect(weights[t * numChoices + k]).toBeCloseTo(weight, 5);
      }
    });
    expect([...decision.capacityE]).toEqual(slowExperts.map(({ capacity }) => capacity));
    expect([...decision.routedE]).toEqual(slowExperts.map(({ routed }) => routed));
    expect([...decision.overCapacityE]).toEqual(slowExperts.map(({ overCapacity }) => overCapacity));
    expect([...decision.notChosenE]).toEqual(slowExperts.map(({ notChosen }) => notChosen));
    expect(sum(decision.keptE)).toBeLessThan(sum(decision.routedE));
  });

  it('keeps by running threshold outside training, whatever else is in the batch', () => {
    const router = createRouter(context);
    const batches = [0, 1, 2].map((i) => randomValues(`batch ${i}`, numTokens * d));
    for (const batch of batches) trainStep(router, batch);
    const whole = route(router, x, false);
    slow.forEach(({ candidates, cosines }, t) => {
      const kept = candidates.filter(
        (e) => selection === 'tcr' || cosines[e] >= router.state.get('threshold')![e] - 1e-7,
      );
      const row = whole.expertsTK.subarray(t * whole.numChoices, (t + 1) * whole.numChoices);
      expect([...row].filter((e) => e >= 0)).toEqual(kept);
    });
    const prefix = route(router, x.slice(0, 10 * d), false);
    expect([...prefix.expertsTK]).toEqual([...whole.expertsTK.subarray(0, 10 * whole.numChoices)]);
    const before = [...router.state.values()].map(String);
    route(router, batches[0], false);
    expect([...router.state.values()].map(String)).toEqual(before);
  });

  it('gradients reach tokens through weights and losses', () => {
    const few = x.subarray(0, 12 * d);
    const op = (xTD: tf.Tensor) => {
      const { weightsTK, auxiliaryLoss } = routeTokens(createRouter(context), {
        x: xTD,
        domainsT: domainsT.subarray(0, 12),
      });
      return tf.concat([tf.reshape(weightsTK!, [-1]), tf.reshape(tf.mul(auxiliaryLoss!, 20), [1])]);
    };
    const smooth = selection === 'ecr' && expertGroups === 2;
    // Finite differences hold only where none of their steps moves a token to another expert: `smooth` does not with
    // these values, and with all experts of a group as candidates in fixed places no choice can flip.
    if (smooth || expertGroups === 4) checkGradients(op, [{ shape: [12, d], values: few }], 5e-3);
    const gradient = tf.grad((xTD: tf.Tensor) => tf.sum(tf.square(op(xTD))))(tf.tensor2d(few, [12, d]));
    expect(Math.max(...gradient.dataSync().map(Math.abs))).toBeGreaterThan(1e-4);
  });
});

describe('the state of locmoe-plus', () => {
  const context = contextOf({ numExperts: 4, capacityInterval: 3 });
  const batch = (i: number) =>
    randomValues(`step ${i}`, numTokens * d).map((v, j) => v + (j % d < 6 ? 0.1 * i : 0));

  it('capacity is estimated every capacityInterval steps and kept in between', () => {
    const router = createRouter(context);
    const capacities = Array.from({ length: 7 }, (_, i) => String(trainStep(router, batch(i)).capacityE));
    expect(new Set(capacities.slice(0, 3)).size).toBe(1);
    expect(new Set(capacities.slice(3, 6)).size).toBe(1);
    expect(new Set([capacities[0], capacities[3], capacities[6]]).size).toBe(3);
  });

  it('between estimates a batch of another size has the same share of its classic capacity', () => {
    const router = createRouter(context);
    const [whole] = [0, 1].map((i) => trainStep(router, batch(i)).capacityE);
    const half = route(router, batch(1).subarray(0, (numTokens / 2) * d), true).capacityE;
    // Classic ones: ceil(1.1 * 60 / 4) and ceil(1.1 * 30 / 4).
    expect([...half]).toEqual([...whole].map((capacity) => Math.round((capacity * 9) / 17)));
    expect(Math.max(...whole)).toBeGreaterThan(2);
  });

  it('without a limit nothing is left out by thresholds of a training that had one', () => {
    const limited = createRouter(context);
    trainStep(limited, batch(0));
    const free = createRouter(contextOf({ numExperts: 4, capacityFactor: null }));
    for (const [name, values] of free.state) values.set(limited.state.get(name)!);
    trainStep(free, batch(1));
    expect(sum([...route(free, batch(2), false).notChosenE])).toBe(0);
  });

  it('thresholds are the mean of the C-th affinities', () => {
    const router = createRouter(context);
    const cuts = [0, 1, 2].map((i) => {
      const { capacityE, keptE } = trainStep(router, batch(i));
      return slowCuts(batch(i), context, capacityE, keptE);
    });
    const means = cuts[0].map((_, e) => sum(cuts.map((cut) => cut[e])) / 3);
    expectClose(router.state.get('threshold')!, means, 1e-5);
  });

  it('micro-batches are one step: each has a capacity of its own, and the threshold takes their mean cut', () => {
    const router = createRouter(contextOf({ numExperts: 4, capacityInterval: 1 }));
    const decisions = [0, 5].map((i) => route(router, batch(i), true));
    expect(String(decisions[0].capacityE)).not.toBe(String(decisions[1].capacityE));
    expect([...router.state.get('threshold')!]).toEqual(Array(4).fill(-1e9));
    const [a, b] = decisions.map(({ capacityE, keptE }, i) =>
      slowCuts(batch(5 * i), context, capacityE, keptE),
    );
    router.endStep();
    expectClose(
      router.state.get('threshold')!,
      a.map((cut, e) => (cut + b[e]) / 2),
      1e-6,
    );
    // The next step has the same weight as both micro-batches together.
    expect([...router.state.get('step')!]).toEqual([1]);
    expect([...router.state.get('threshold_steps')!]).toEqual([1, 1, 1, 1]);
  });

  it('the linear schedule fills places in the order of tokens first and by affinity in the end', () => {
    const moe = { numExperts: 4, capacityFactor: 0.5, capacityInterval: 1 } as const;
    const scheduled = createRouter(contextOf({ ...moe, selectionSchedule: 'linear' }, 4));
    const [tcr, both] = (['tcr', 'both'] as const).map((selection) =>
      createRouter(contextOf({ ...moe, selection })),
    );
    const kept = (router: Router) => [...trainStep(router, batch(0)).expertsTK];
    const [byOrder, byAffinity] = [kept(tcr), kept(both)];
    const agreement = Array.from({ length: 5 }, () => {
      const now = kept(scheduled);
      return now.filter((expert, i) => expert === byAffinity[i]).length;
    });
    expect(agreement[4]).toBe(byAffinity.length);
    expect(agreement[0]).toBe(byOrder.filter((expert, i) => expert === byAffinity[i]).length);
    expect(agreement[0]).toBeLessThan(agreement[2]);
    expect(agreement[2]).toBeLessThan(agreement[4]);
  });
});

describe('locmoe-plus with random tokens', () => {
  const moe = { numExperts: 4, affinityThreshold: 0.7, temperature: 0.8 } as const;
  const context = contextOf({ ...moe, ranking: 'random' });
  const batch = randomValues('random tokens', numTokens * d);
  const [byAffinity, atRandom] = [contextOf(moe), context].map((each) =>
    trainStep(createRouter(each), batch),
  );
  const sameAs = (a: Int32Array, b: Int32Array) => a.filter((expert, i) => expert === b[i]).length / a.length;

  it('keeps as many of the same candidates as by affinity, with the same weights, but others', () => {
    expect(atRandom.routedE).toEqual(byAffinity.routedE);
    expect(atRandom.capacityE).toEqual(byAffinity.capacityE);
    expect(atRandom.keptE).toEqual(byAffinity.keptE);
    expect(atRandom.overCapacityE).toEqual(byAffinity.overCapacityE);
    expect(atRandom.weightsTK!.dataSync()).toEqual(byAffinity.weightsTK!.dataSync());
    expect(sum(atRandom.keptE)).toBeLessThan(sum(atRandom.routedE));
    expect(sameAs(atRandom.expertsTK, byAffinity.expertsTK)).toBeLessThan(0.9);
  });

  it('draws anew for each step, seed and layer, and the same for the same', () => {
    const router = createRouter(context);
    const first = trainStep(router, batch).expertsTK;
    expect(first).toEqual(atRandom.expertsTK);
    const others = [
      trainStep(router, batch),
      trainStep(createRouter({ ...context, seed: 6 }), batch),
      trainStep(createRouter({ ...context, layer: 3 }), batch),
    ];
    for (const { expertsTK } of others) expect(sameAs(expertsTK, first)).toBeLessThan(0.9);
  });

  it('prefers no candidate: over many steps each is kept as often, whatever its affinity and place', () => {
    const steps = 200;
    const router = createRouter(context);
    const keptOfToken = new Int32Array(numTokens);
    const expectedOfToken = slowScores(batch, context).map(
      ({ candidates }) => steps * sum(candidates.map((e) => atRandom.keptE[e] / atRandom.routedE[e])),
    );
    for (let step = 0; step < steps; step++) {
      const { expertsTK, numChoices } = trainStep(router, batch);
      expertsTK.forEach((expert, choice) => {
        if (expert >= 0) keptOfToken[Math.floor(choice / numChoices)]++;
      });
    }
    // Four standard deviations at most.
    keptOfToken.forEach((kept, t) => {
      expect(Math.abs(kept - expectedOfToken[t])).toBeLessThan(4 * Math.sqrt(expectedOfToken[t]));
    });
  });

  it('keeps about the same share outside training, by token id', () => {
    const router = createRouter(context);
    for (let i = 0; i < 20; i++) trainStep(router, randomValues(`batch ${i}`, numTokens * d));
    const text = randomValues('text', 900 * d);
    const routeText = (tokenIdsT: Int32Array) => {
      const x = text.subarray(0, tokenIdsT.length * d);
      return routeTokens(
        router,
        { x, tokenIdsT, domainsT: new Int32Array(tokenIdsT.length) },
        new Map(),
        false,
      );
    };
    const ids = Int32Array.from({ length: 900 }, (_, t) => t % 300);
    const { routedE, keptE, expertsTK, numChoices } = routeText(ids);
    const share = sum(atRandom.keptE) / sum(atRandom.routedE);
    expect(Math.abs(sum(keptE) / sum(routedE) - share)).toBeLessThan(0.1);
    // Neither later tokens nor the position of a token matter.
    expect([...routeText(ids.subarray(0, 10)).expertsTK]).toEqual([
      ...expertsTK.subarray(0, 10 * numChoices),
    ]);
    expect(sameAs(routeText(ids.map((id) => id + 300)).expertsTK, expertsTK)).toBeLessThan(0.9);
  });
});

describe('locmoe-plus with margins as weights', () => {
  const moe = { numExperts: 4, affinityThreshold: 0.7, temperature: 0.8, capacityFactor: 0.5 } as const;
  const context = contextOf({ ...moe, choiceWeights: 'margin' });
  const x = randomValues('margins', numTokens * d);
  const trained = () => {
    const router = createRouter(context);
    for (const i of [0, 1, 2]) trainStep(router, randomValues(`margins ${i}`, numTokens * d));
    return router;
  };

  it('keeps what it keeps with a softmax, and weighs it by its distance from the threshold', () => {
    const router = trained();
    const thresholdE = [...router.state.get('threshold')!];
    const softmax = createRouter(contextOf(moe));
    for (const [name, values] of softmax.state) values.set(router.state.get(name)!);
    for (const training of [true, false]) {
      const { expertsTK, weightsTK, numChoices } = route(router, x, training);
      expect(expertsTK).toEqual(route(softmax, x, training).expertsTK);
      const weights = weightsTK!.dataSync();
      const slow = slowScores(x, context);
      const wanted = [...expertsTK].map((expert, choice) => {
        const { cosines } = slow[Math.floor(choice / numChoices)];
        return expert < 0
          ? weights[choice]
          : Math.tanh(Math.max(0, ((cosines[expert] - thresholdE[expert]) * Math.sqrt(d)) / moe.temperature));
      });
      expectClose(weights, wanted, 1e-5);
      const ofKept = [...weights].filter((_, choice) => expertsTK[choice] >= 0);
      expect(new Set(ofKept).size).toBeGreaterThan(10);
      expect(Math.max(...ofKept)).toBeLessThan(1);
    }
  });

  it('lets a gradient reach the affinity of a token with one candidate, which a softmax does not', () => {
    const norms = (['margin', 'softmax'] as const).map((choiceWeights) => {
      const router = createRouter(contextOf({ ...moe, choiceWeights, maxExpertsPerToken: 1 }));
      trainStep(router, randomValues('margins 0', numTokens * d));
      const few = tf.tensor2d(x.slice(0, 12 * d), [12, d]);
      const weights = (xTD: tf.Tensor) =>
        routeTokens(router, { x: xTD, domainsT: new Int32Array(12) }, new Map(), false).weightsTK!;
      return tf.norm(tf.grad((xTD) => tf.sum(weights(xTD)))(few)).dataSync()[0];
    });
    expect(norms[0]).toBeGreaterThan(0.01);
    expect(norms[1]).toBeLessThan(1e-5);
  });
});

/** Least cosine that each expert kept. */
function slowCuts(
  x: Float32Array,
  context: RouterContext<MoeConfig>,
  capacityE: Float64Array,
  keptE: Int32Array,
): number[] {
  const slow = slowScores(x, context);
  return Array.from(capacityE, (capacity, e) => {
    const falling = slow
      .filter(({ candidates }) => candidates.includes(e))
      .map(({ cosines }) => cosines[e])
      .sort((a, b) => b - a);
    expect(keptE[e]).toBe(Math.min(capacity, falling.length));
    return falling[keptE[e] - 1];
  });
}
