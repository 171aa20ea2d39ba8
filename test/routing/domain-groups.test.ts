import { expect, it } from 'vitest';
import { expertsOfDomain } from '../../src/routing/domain-groups.js';

it.each([
  [1, [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]],
  [2, [0, 1], [2, 3], [0, 1]],
  [4, [0], [1], [2]],
])('%i groups of 4 experts for 3 domains', (expertGroups, ...expected) => {
  const groups = expertsOfDomain(3, { numExperts: 4, expertGroups });
  expect(groups.map((group) => [...group])).toEqual(expected);
});

it('refuses groups of unequal size', () => {
  expect(() => expertsOfDomain(2, { numExperts: 4, expertGroups: 3 })).toThrow(
    expect.objectContaining({ code: 'BAD_CONFIG', message: expect.stringContaining('moe.expertGroups 3') }),
  );
});
