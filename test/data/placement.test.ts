import { describe, expect, it } from 'vitest';
import { assignToRanks } from '../../src/data/placement.js';
import { randomIntegers } from '../model/support.js';

describe('assignToRanks', () => {
  it('sends every sequence home where there is room for all', () => {
    const domains = [0, 1, 2, 3, 0, 1, 2, 3];
    const homes = [
      [0, 1],
      [0, 1],
      [2, 3],
      [2, 3],
    ];
    expect([...assignToRanks(domains, homes, 4)]).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  });

  it('fills up with strangers where a domain is over-represented', () => {
    expect([...assignToRanks([0, 0, 0, 1], [[0], [1]], 2)]).toEqual([0, 0, 1, 1]);
  });

  it.each([1, 2, 4, 8])('gives %i ranks equally many, and the most that fit at home', (worldSize) => {
    for (let round = 0; round < 50; round++) {
      const domains = [...randomIntegers(`domains ${round}`, 32, 4)];
      const half = Math.ceil(worldSize / 2);
      const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
      const [low, high] = [ranks.slice(0, half), worldSize === 1 ? ranks : ranks.slice(half)];
      const homes = [low, low, high, high];
      const rankOfSequence = assignToRanks(domains, homes, worldSize);
      for (const rank of ranks)
        expect(rankOfSequence.filter((each) => each === rank)).toHaveLength(32 / worldSize);
      const atHome = domains.filter((domain, i) => homes[domain].includes(rankOfSequence[i])).length;
      const inLow = domains.filter((domain) => domain < 2).length;
      const most = worldSize === 1 ? 32 : Math.min(inLow, 16) + Math.min(32 - inLow, 16);
      expect(atHome).toBe(most);
    }
  });
});
