import { describe, expect, it } from 'vitest';
import {
  createRouter,
  type MoeConfig,
  type RouterContext,
  type RouterInput,
  routerPolicy,
} from '../../../src/routing/index.js';
import { randomIntegers, tinyConfig } from '../../model/support.js';
import { routerContext, routeTokens } from '../context.js';

function routeAll(context: RouterContext<MoeConfig>, domain: number, training = true) {
  const tokenIdsT = Int32Array.from({ length: 300 }, (_, id) => id);
  const domainsT = new Int32Array(300).fill(domain);
  return routeTokens(
    createRouter(context),
    { x: new Float32Array(300 * 6), tokenIdsT, domainsT },
    new Map(),
    training,
  );
}

describe.each([1, 2])('hash router with %i groups', (expertGroups) => {
  const context = routerContext({ router: 'hash', numExperts: 8, expertGroups });

  it('deals the vocabulary evenly over the group of the domain', () => {
    for (const domain of [0, 1, 2]) {
      const { keptE, routedE, weightsTK, auxiliaryLoss } = routeAll(context, domain);
      const group = context.expertsOfDomain[domain];
      keptE.forEach((kept, expert) => {
        const even = group.includes(expert) ? 300 / group.length : 0;
        expect(Math.abs(kept - even)).toBeLessThan(1);
      });
      expect(keptE).toEqual(routedE);
      expect([weightsTK, auxiliaryLoss]).toEqual([null, null]);
    }
  });

  it('gives one token the same expert every time, and each layer and seed a table of its own', () => {
    const { expertsTK } = routeAll(context, 0);
    expect(routeAll(context, 0).expertsTK).toEqual(expertsTK);
    for (const other of [{ layer: 3 }, { seed: 6 }]) {
      const table = routeAll({ ...context, ...other }, 0).expertsTK;
      const same = table.filter((expert, id) => expert === expertsTK[id]).length / 300;
      const chance = 1 / context.expertsOfDomain[0].length;
      expect(Math.abs(same - chance)).toBeLessThan(4 * Math.sqrt((chance * (1 - chance)) / 300));
    }
  });
});

it('hash router knows before which experts have tokens, also where some are dropped', () => {
  const context = routerContext({ router: 'hash', numExperts: 8, expertGroups: 2, capacityFactor: 0.01 });
  const tokenIdsT = Int32Array.of(3, 9, 3, 250, 17, 44);
  const domainsT = Int32Array.of(0, 1, 0, 1, 0, 2);
  const router = createRouter(context);
  const { keptE } = routeTokens(router, { x: new Float32Array(6 * 6), tokenIdsT, domainsT });
  const touched = [...keptE.keys()].filter((expert) => keptE[expert] > 0);
  expect([...new Set(router.foresee!(tokenIdsT, domainsT, () => -1))].sort()).toEqual(touched);
  expect(createRouter(routerContext({ router: 'switch' })).foresee).toBeUndefined();
});

it.each([0.3, 0.5])(
  'hash router gives experts to %d of the ids, to others in each layer, for each seed',
  (hashShare) => {
    for (let seed = 0; seed < 5; seed++) {
      const timesV = new Int32Array(300);
      for (const layer of [2, 3, 4]) {
        const moe = { router: 'hash', numExperts: 4, hashShare } as const;
        const { expertsTK } = routeAll(routerContext(moe, { layer, seed }), 1);
        expect(expertsTK.filter((expert) => expert >= 0)).toHaveLength(300 * hashShare);
        const all = routeAll(routerContext({ ...moe, hashShare: 1 }, { layer, seed }), 1);
        expertsTK.forEach((expert, id) => {
          if (expert < 0) return;
          timesV[id]!++;
          expect(expert).toBe(all.expertsTK[id]);
        });
      }
      // Layers share as few ids as possible, so that no id has an expert in two more layers than another id.
      expect(Math.max(...timesV) - Math.min(...timesV)).toBeLessThanOrEqual(1);
    }
  },
);

describe.each([1, 0.5])(
  'hash router with four tables that look back up to two tokens, hashShare %d',
  (hashShare) => {
    const moe = {
      router: 'hash',
      numExperts: 24,
      expertGroups: 2,
      expertsPerToken: 4,
      lookBack: 2,
      hashShare,
    } as const;
    const context = routerContext(moe);
    const tokenIdsT = randomIntegers('ids', 500, 300);
    const domainsT = Int32Array.from(tokenIdsT, (_, t) => Math.floor(t / 100) % 3);
    const idBefore: RouterInput['idBefore'] = (t, distance) => tokenIdsT[t - Math.min(distance, t % 100)]!;
    const x = new Float32Array(500 * 6);

    it('takes an expert of each quarter of the group by the id of the token, of it again, and of the 1st and 2nd before', () => {
      const router = createRouter(context);
      const values = (name: string) => router.state.get(name)!;
      expect([...router.state.keys()]).toEqual(['table', 'table2', 'table3', 'table4']);
      const { expertsTK, weightsTK, numChoices } = routeTokens(router, { x, tokenIdsT, domainsT, idBefore });
      expect(numChoices).toBe(4);
      expect([...weightsTK!.dataSync()]).toEqual(Array(2000).fill(0.25));
      const expected = [...tokenIdsT].flatMap((id, t) => {
        if (values('table')[id]! < 0) return [-1, -1, -1, -1];
        return [id, id, idBefore(t, 1), idBefore(t, 2)].map((each, k) => {
          const rank = values(k === 0 ? 'table' : `table${k + 1}`)[each]!;
          return (domainsT[t]! % 2) * 12 + 3 * k + (rank % 3);
        });
      });
      expect([...expertsTK]).toEqual(expected);
      expect(router.foresee!(tokenIdsT, domainsT, idBefore)).toEqual(expertsTK);
      expect(expertsTK.includes(-1)).toBe(hashShare < 1);
    });

    it('draws each table for itself', () => {
      const { state } = createRouter(routerContext({ ...moe, hashShare: 1 }));
      expect(new Set([...state.values()].map(String)).size).toBe(4);
      // One table has the values of the first of several.
      const [alone] = createRouter(routerContext({ router: 'hash', numExperts: 24 })).state.values();
      expect(state.get('table')).toEqual(alone);
    });
  },
);

it.each([
  [{ numExperts: 12, expertGroups: 2, expertsPerToken: 4 }, 'expertsPerToken', /^4 does not divide .*: 6,/],
  [{ numExperts: 8, expertsPerToken: 2, lookBack: 2 }, 'lookBack', /^2 needs more tables/],
  [{ numExperts: 9, expertGroups: 2, expertsPerToken: 4 }, undefined, /^$/],
  [{ numExperts: 8, expertsPerToken: 4, lookBack: 2 }, undefined, /^$/],
])('hash router has tables for %j', (fields, field, message) => {
  const { rules } = routerPolicy('hash');
  const { moe } = tinyConfig({ moe: { router: 'hash', ...fields } });
  const problem = rules.map((rule) => rule(moe, { dModel: 6, numHeads: 1 })).find((each) => each);
  expect(problem?.field).toBe(field);
  expect(problem?.message ?? '').toMatch(message);
});
