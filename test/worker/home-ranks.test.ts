import { expect, it } from 'vitest';
import { topologyOf } from '../../src/collectives/topology.js';
import { homeRanksOfDomain } from '../../src/worker/home-ranks.js';
import { tinyConfig } from '../model/support.js';

const config = (numExperts: number, expertGroups: number) =>
  tinyConfig({
    moe: { numExperts, expertGroups },
    data: { domains: ['a', 'b', 'c', 'd'], placement: 'domain' },
  });

it.each([
  [
    'two groups a node',
    8,
    4,
    2,
    2,
    [
      [0, 1],
      [0, 1],
      [2, 3],
      [2, 3],
    ],
  ],
  ['one group for all: domains are dealt', 8, 1, 2, 1, [[0], [0], [1], [1]]],
  [
    'a group over half the nodes',
    4,
    2,
    4,
    1,
    [
      [0, 1],
      [2, 3],
      [0, 1],
      [2, 3],
    ],
  ],
  [
    'replicas on every node',
    2,
    2,
    2,
    2,
    [
      [0, 1, 2, 3],
      [0, 1, 2, 3],
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ],
  ],
] as const)('%s', (_, numExperts, groups, nodes, workers, expected) => {
  const homes = homeRanksOfDomain(config(numExperts, groups), topologyOf(0, nodes, workers));
  expect(homes).toEqual(expected);
});

it('mixed placement has no homes', () => {
  expect(homeRanksOfDomain(tinyConfig(), topologyOf(0, 2, 2))).toBeNull();
});
