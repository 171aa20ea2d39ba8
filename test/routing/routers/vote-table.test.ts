import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig, type Router } from '../../../src/routing/index.js';
import { randomIntegers, randomValues } from '../../model/support.js';
import { routerContext } from '../context.js';

const T = 60;
const D = 6;
const V = 12;
const AFTER = 6;
const BASE = { numExperts: 6, capacityFactor: null, localityLossWeight: 0 } as const;

const contextOf = (moe: Partial<MoeConfig>, seed: number) =>
  routerContext({ ...BASE, tableAfter: AFTER, ...moe }, { vocabSize: V, seed });

/** Tokens of a batch with ids below `ids`; by default the last id of the vocabulary does not occur. */
function batchOf(name: string, ids = V - 1) {
  return {
    xTD: tf.tensor2d(randomValues(`${name} x`, T * D), [T, D]),
    tokenIdsT: randomIntegers(`${name} ids`, T, ids),
    idBefore: () => 0,
    domainsT: randomIntegers(`${name} domains`, T, 3),
  };
}

const PARAMETERS: ReadonlyMap<string, tf.Tensor> = new Map<string, tf.Tensor>([
  ['weight', tf.tensor2d(randomValues('gate', D * 6), [D, 6])],
  ['bias', tf.zeros([6])],
]);
const route = (router: Router, batch: ReturnType<typeof batchOf>, training: boolean) =>
  router.route({ ...batch, training, parameters: PARAMETERS });

describe.each([
  ['switch', 2],
  ['locmoe', 3],
] as const)('%s in %i groups, whose choices become a table', (name, expertGroups) => {
  it('gives an id the expert that most of its tokens chose in the last third, for each seed', () => {
    for (let seed = 0; seed < 4; seed++) {
      const context = contextOf({ router: name, expertGroups }, seed);
      const router = createRouter(context);
      const plain = createRouter(contextOf({ router: name, expertGroups, tableAfter: 0 }, seed));
      const votes = new Map<string, number[]>();
      for (let step = 0; step < AFTER; step++) {
        const batches = [0, 1].map((i) => batchOf(`${seed} ${step} ${i}`));
        for (const batch of batches) {
          const { expertsTK, weightsTK } = route(router, batch, true);
          const expected = route(plain, batch, true);
          expect(expertsTK).toEqual(expected.expertsTK);
          expect(weightsTK!.dataSync()).toEqual(expected.weightsTK!.dataSync());
          // A step that is not applied has no vote.
          if (step >= 4 && !(step === 5 && seed % 2 === 0))
            expertsTK.forEach((expert, t) => {
              const key = `${batch.domainsT[t]} ${batch.tokenIdsT[t]}`;
              votes.set(key, [...(votes.get(key) ?? []), expert]);
            });
        }
        for (const each of [router, plain]) {
          if (step === 5 && seed % 2 === 0) each.skipStep();
          each.endStep();
        }
      }
      for (const training of [true, false]) {
        const batch = batchOf(`after ${seed}`, V);
        const { expertsTK, weightsTK, auxiliaryLoss } = route(router, batch, training);
        expect([weightsTK, auxiliaryLoss]).toEqual([null, null]);
        expertsTK.forEach((expert, t) => {
          const group = [...context.expertsOfDomain[batch.domainsT[t]]];
          const chosen = votes.get(`${batch.domainsT[t]} ${batch.tokenIdsT[t]}`);
          const counts = group.map((each) => chosen?.filter((vote) => vote === each).length ?? 0);
          if (chosen === undefined) expect(group).toContain(expert);
          else expect(expert).toBe(group[counts.indexOf(Math.max(...counts))]);
        });
      }
    }
  });
});

it('a router that goes on from saved state has the same table, from either stage', () => {
  for (const saved of [5, 7]) {
    const [first, second] = [0, 1].map(() => createRouter(contextOf({ router: 'switch' }, 3)));
    const train = (router: Router, step: number) => {
      const { expertsTK } = route(router, batchOf(`step ${step}`), true);
      router.endStep();
      return expertsTK;
    };
    for (let step = 0; step < saved; step++) train(first!, step);
    for (const [name, values] of second!.state) values.set(first!.state.get(name)!);
    for (let step = saved; step < 9; step++) expect(train(second!, step)).toEqual(train(first!, step));
    expect([...second!.state]).toEqual([...first!.state]);
  }
});

describe.each([1, 2])('locmoe-plus in %i groups, whose choices become a table', (expertGroups) => {
  it('drops the ids of which the least part was kept, as many tokens as were dropped, for each seed', () => {
    for (let seed = 0; seed < 4; seed++) {
      const moe = {
        router: 'locmoe-plus',
        expertGroups,
        maxExpertsPerToken: 1,
        capacityFactor: 0.5,
      } as const;
      const context = contextOf(moe, seed);
      const router = createRouter(context);
      const votes = new Map<string, number[]>();
      for (let step = 0; step < AFTER; step++) {
        const batch = batchOf(`${seed} ${step}`);
        const { expertsTK } = route(router, batch, true);
        if (step >= 4)
          expertsTK.forEach((expert, t) => {
            const key = `${batch.domainsT[t]} ${String(batch.tokenIdsT[t]).padStart(3, '0')}`;
            votes.set(key, [...(votes.get(key) ?? []), expert]);
          });
        router.endStep();
      }
      const keptOf = (key: string) => votes.get(key)!.filter((expert) => expert >= 0);
      const rate = (key: string) => keptOf(key).length / votes.get(key)!.length;
      const keys = [...votes.keys()].sort().sort((a, b) => rate(b) - rate(a));
      const numKept = keys.flatMap(keptOf).length;
      const hasExpert = new Set<string>();
      let held = 0;
      for (const key of keys) {
        if (held >= numKept) break;
        hasExpert.add(key);
        held += votes.get(key)!.length;
      }
      expect(hasExpert.size).toBeLessThan(keys.length);

      const batch = batchOf(`after ${seed}`, V);
      const { expertsTK, weightsTK } = route(router, batch, true);
      expect(weightsTK).toBeNull();
      expertsTK.forEach((expert, t) => {
        const key = `${batch.domainsT[t]} ${String(batch.tokenIdsT[t]).padStart(3, '0')}`;
        const group = [...context.expertsOfDomain[batch.domainsT[t]]];
        if (!votes.has(key)) expect(group).toContain(expert);
        else if (!hasExpert.has(key)) expect(expert).toBe(-1);
        else {
          const counts = group.map((each) => keptOf(key).filter((vote) => vote === each).length);
          if (keptOf(key).length > 0) expect(expert).toBe(group[counts.indexOf(Math.max(...counts))]);
        }
      });
    }
  });
});

it('gives an expert first to the ids that have had none below', () => {
  const plus = { router: 'locmoe-plus', maxExpertsPerToken: 1, capacityFactor: 0.4 } as const;
  const tablesOf = (isAbove: boolean) => {
    const lower = createRouter({ ...contextOf(plus, 7), layer: 2 });
    const upper = createRouter({ ...contextOf(plus, 7), layer: 3, below: isAbove ? [lower] : [] });
    const met = new Set<number>();
    for (let step = 0; step < AFTER; step++) {
      const batch = batchOf(`step ${step}`, V);
      if (step >= 4) for (const [t, id] of batch.tokenIdsT.entries()) met.add(batch.domainsT[t]! * V + id);
      for (const router of [lower, upper]) {
        route(router, batch, true);
        router.endStep();
      }
    }
    return [lower, upper].map((router) => [...met].map((key) => router.table!()![key]! >= 0));
  };
  const [lower, alone] = tablesOf(false);
  // Both layers have seen the same tokens, so without `below` both leave the same ids without an expert.
  expect(alone).toEqual(lower);
  const [below, above] = tablesOf(true);
  expect(below).toEqual(lower);
  const keysWith = (has: readonly [boolean, boolean]) =>
    below!.filter((isBelow, i) => isBelow === has[0] && above![i] === has[1]).length;
  expect(keysWith([true, true])).toBe(0);
  expect(keysWith([false, true])).toBeGreaterThan(5);
  expect(keysWith([false, false])).toBeGreaterThan(0);
});

it('takes the votes of a batch of more tokens than a call has arguments', () => {
  const numTokens = 200_000;
  const router = createRouter(contextOf({ router: 'switch', tableAfter: 1 }, 1));
  const batch = {
    xTD: tf.tensor2d(randomValues('many', numTokens * D), [numTokens, D]),
    tokenIdsT: randomIntegers('many ids', numTokens, V),
    idBefore: () => 0,
    domainsT: randomIntegers('many domains', numTokens, 3),
  };
  route(router, batch, true);
  router.endStep();
  expect(router.state.get('votes')!.reduce((a, b) => a + b)).toBe(numTokens);
});
