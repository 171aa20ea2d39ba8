import { expect, it } from 'vitest';
import { expertsOfDomain, heldExperts } from '../../src/routing/domain-groups.js';

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
