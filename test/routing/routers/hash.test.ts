import { describe, expect, it } from 'vitest';
import { createRouter, type MoeConfig, type RouterContext } from '../../../src/routing/index.js';
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
  expect([...new Set(router.foresee!(tokenIdsT, domainsT))].sort()).toEqual(touched);
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
