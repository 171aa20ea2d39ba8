import { describe, expect, it } from 'vitest';
import { expertsOfDomain, heldExperts } from '../../../src/routing/groups/domain-groups.js';
import { expertsOfRank, rankOfExpert, replicasOfRank } from '../../../src/routing/groups/expert-placement.js';

const worlds = [
  [8, 1],
  [8, 4],
  [4, 4],
  [2, 4],
  [1, 4],
  [2, 8],
] as const;

describe.each(worlds)('%i experts on %i ranks', (n, W) => {
  const ranks = Array.from({ length: W }, (_, rank) => rank);
  const experts = Array.from({ length: n }, (_, expert) => expert);

  it('sends every expert to a rank that holds it, in rising order of ranks', () => {
    for (const source of ranks) {
      const to = experts.map((expert) => rankOfExpert(n, W, source, expert));
      to.forEach((rank, expert) => {
        expect(expertsOfRank(n, W, rank)).toContain(expert);
      });
      expect(to).toEqual(to.toSorted((a, b) => a - b));
    }
  });

  it('uses every holder equally', () => {
    const pairs = ranks.flatMap((source) => experts.map((expert) => rankOfExpert(n, W, source, expert)));
    for (const rank of ranks) expect(pairs.filter((to) => to === rank)).toHaveLength(n);
  });

  it('names as replicas exactly the ranks with the same experts', () => {
    for (const rank of ranks) {
      const same = ranks.filter(
        (other) => String(expertsOfRank(n, W, other)) === String(expertsOfRank(n, W, rank)),
      );
      expect(replicasOfRank(n, W, rank)).toEqual(same);
    }
  });
});

it.each([
  [8, 3],
  [3, 8],
])('refuses %i experts on %i ranks', (n, W) => {
  expect(() => expertsOfRank(n, W, 0)).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }));
  expect(() => expertsOfRank(n, W, 0)).toThrow(/moe\.numExperts/);
});

it.each([
  [1, [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]],
  [2, [0, 1], [2, 3], [0, 1]],
  [4, [0], [1], [2]],
])('%i groups of 4 experts for 3 domains', (expertGroups, ...expected) => {
  const groups = expertsOfDomain(3, { numExperts: 4, expertGroups, subModel: null });
  expect(groups.map((group) => [...group])).toEqual(expected);
});

it('refuses groups of unequal size', () => {
  expect(() => expertsOfDomain(2, { numExperts: 4, expertGroups: 3, subModel: null })).toThrow(
    expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringContaining('moe.expertGroups 3') }),
  );
});

it('a sub-model has the experts of its domain, and all its domains use them', () => {
  const groups = { numExperts: 6, expertGroups: 3 };
  const subModel = { domain: 'd', domains: ['a', 'b', 'c', 'd', 'e'] };
  expect(heldExperts({ ...groups, subModel: null })).toEqual({ first: 0, count: 6 });
  expect(heldExperts({ ...groups, subModel })).toEqual({ first: 0, count: 2 });
  const second = { ...groups, subModel: { ...subModel, domain: 'e' } };
  expect(heldExperts(second)).toEqual({ first: 2, count: 2 });
  expect(expertsOfDomain(2, second).map((group) => [...group])).toEqual([
    [2, 3],
    [2, 3],
  ]);
});
