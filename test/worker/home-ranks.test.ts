import { expect, it } from 'vitest';
import { topologyOf } from '../../src/collectives/topology.js';
import type { RunConfig } from '../../src/config/schema.js';
import { homeRanksOfDomain } from '../../src/worker/home-ranks.js';
import { tinyConfig } from '../model/support.js';

const config = (numExperts: number, expertGroups: number, placement: RunConfig['moe']['placement'] = null) =>
  tinyConfig({
    model: { numSparseLayers: 2 },
    moe: { numExperts, expertGroups, placement },
    data: { domains: ['a', 'b', 'c', 'd'], placement: 'domain' },
  });

const [LEFT, RIGHT, ALL] = [
  [0, 1],
  [2, 3],
  [0, 1, 2, 3],
];

it.each([
  ['two groups a node', 8, 4, 2, 2, [LEFT, LEFT, RIGHT, RIGHT]],
  ['one group for all: domains are dealt', 8, 1, 2, 1, [[0], [0], [1], [1]]],
  ['a group over half the nodes', 4, 2, 4, 1, [LEFT, RIGHT, LEFT, RIGHT]],
  ['replicas on every node', 2, 2, 2, 2, [ALL, ALL, ALL, ALL]],
] as const)('%s', (_, numExperts, groups, nodes, workers, expected) => {
  const homes = homeRanksOfDomain(config(numExperts, groups), topologyOf(0, nodes, workers));
  expect(homes).toEqual(expected);
});

it('placed experts: a domain is at home where more than an even share of its group is, over all layers', () => {
  const placed = (...layers: readonly (readonly number[])[]) =>
    config(8, 2, {
      version: 1,
      numExperts: 8,
      nodes: 2,
      workersPerNode: 1,
      layers: Object.fromEntries(layers.map((ranksE, i) => [i + 1, ranksE])),
    });
  const [swapped, even] = [
    [1, 1, 1, 1, 0, 0, 0, 0],
    [0, 0, 1, 1, 0, 0, 1, 1],
  ];
  const homes = (...layers: readonly (readonly number[])[]) =>
    homeRanksOfDomain(placed(...layers), topologyOf(0, 2, 1));
  expect(homes(swapped, even)).toEqual([[1], [0], [1], [0]]);
  // A rank has three of a group's four experts in one layer and one in the other, so homes are the same as without level 1.
  expect(homes([0, 0, 0, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0, 1])).toEqual([[0], [0], [1], [1]]);
  expect(homes(even, even)).toEqual([[0], [0], [1], [1]]);
});

it('mixed placement has no homes', () => {
  expect(homeRanksOfDomain(tinyConfig(), topologyOf(0, 2, 2))).toBeNull();
});
