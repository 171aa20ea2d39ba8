import type { RouteRow, RouteTable } from '@locmoe/run-format/routes-file';
import type { Layout } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { measuredTraffic, predictedTraffic } from '../../src/evaluation/route-traffic.js';
import { NIGHTLY } from '../nightly.js';
import type { RankTraffic, TrafficCase } from './traffic-cases.js';

const D_MODEL = 8;
const FLAT = { exchange: 'flat', overlapDegree: 1 } as const;
const HIERARCHICAL = { exchange: 'hierarchical', overlapDegree: 1 } as const;
const OVERLAPPED = { exchange: 'hierarchical', overlapDegree: 4 } as const;
const DEDUPLICATED = { exchange: 'hierarchical', deduplicate: true } as const;

const PLUS = { router: 'locmoe-plus', numExperts: 8, maxExpertsPerToken: 3, capacityFactor: 2 } as const;
const MOGE = { router: 'moge', numExperts: 8, deviceGroups: 4 } as const;
const PLACEMENT = {
  version: 1,
  numExperts: 8,
  nodes: 2,
  workersPerNode: 2,
  layers: { 1: [3, 0, 1, 2, 2, 1, 0, 3], 2: [0, 1, 2, 3, 0, 1, 2, 3] },
} as const;
type Case = TrafficCase & { readonly numWeights: number };
/** Each case has the maximum number of weighted choices of a token; 0 for a router without weights. */
const BY_DAY: readonly Case[] = [
  { moe: { router: 'switch', capacityFactor: 0.8 }, cluster: HIERARCHICAL, numWeights: 1 },
  { moe: { router: 'locmoe', numExperts: 8, expertsPerToken: 2 }, cluster: DEDUPLICATED, numWeights: 2 },
  { moe: PLUS, cluster: FLAT, numWeights: 3 },
  { moe: PLUS, cluster: DEDUPLICATED, numWeights: 3, microBatches: 2 },
  {
    moe: { router: 'moge', numExperts: 8, deviceGroups: 2 },
    cluster: { ...DEDUPLICATED, wirePrecision: 'bfloat16' },
    numWeights: 2,
  },
  // Experts are not in the order of their numbers, on two nodes of two workers.
  { moe: { ...MOGE, placement: PLACEMENT }, cluster: DEDUPLICATED, numWeights: 4 },
  { moe: { router: 'hash' }, cluster: OVERLAPPED, numWeights: 0, microBatches: 4 },
  // Each expert has a replica on each node.
  {
    moe: { router: 'switch', numExperts: 2 },
    cluster: { ...FLAT, wirePrecision: 'bfloat16' },
    numWeights: 1,
  },
  // The sub-model holds experts 4 to 7 only.
  {
    moe: {
      router: 'switch',
      numExperts: 8,
      expertGroups: 2,
      subModel: { domain: 'b', domains: ['a', 'b'] },
    },
    cluster: FLAT,
    numWeights: 1,
  },
];
const BY_NIGHT: readonly Case[] = [
  { moe: { router: 'locmoe' }, cluster: FLAT, numWeights: 1 },
  { moe: { router: 'switch' }, cluster: DEDUPLICATED, numWeights: 1 },
  { moe: PLUS, cluster: OVERLAPPED, numWeights: 3 },
  { moe: MOGE, cluster: HIERARCHICAL, numWeights: 4 },
  { moe: MOGE, cluster: DEDUPLICATED, numWeights: 4 },
  { moe: { ...PLUS, placement: PLACEMENT }, cluster: OVERLAPPED, numWeights: 3 },
  { moe: { router: 'hash' }, cluster: DEDUPLICATED, numWeights: 0 },
];
const TRAFFIC = NIGHTLY ? [...BY_DAY, ...BY_NIGHT] : BY_DAY;
function rowsOf(table: RouteTable): RouteRow[] {
  return table.step.map(
    (_, row) =>
      Object.fromEntries(
        Object.entries(table).map(([name, values]) => [name, values[row]]),
      ) as unknown as RouteRow,
  );
}

/** Cases that a layout can have. */
export function trafficIn(worldSize: number): readonly Case[] {
  return TRAFFIC.filter(
    ({ moe, cluster }) => !('deduplicate' in cluster) || (moe.numExperts ?? 4) >= worldSize,
  );
}

/** @param resultsOf what each rank returned, case by case */
export function trafficLaws(
  { numNodes, workersPerNode }: Layout,
  resultsOf: () => readonly (readonly RankTraffic[])[],
): void {
  it('what the ranks send is what their routes say, to the byte', () => {
    const results = resultsOf();
    const cases = trafficIn(numNodes * workersPerNode);
    cases.forEach(({ cluster, numWeights, moe }, index) => {
      const about = JSON.stringify({ moe, cluster });
      const ofRanks = results.map((result) => result[index]);
      const wireBytes = cluster.wirePrecision === 'bfloat16' ? 2 : 4;
      const rowBytes = wireBytes * D_MODEL;
      const isDeduplicated = cluster.deduplicate === true && numNodes > 1;
      const exchange = {
        numNodes,
        workersPerNode,
        rowBytes,
        crossingBytes: isDeduplicated ? rowBytes + wireBytes * numWeights : null,
      };
      const measured = measuredTraffic(ofRanks.map(({ sent }) => ({ ...exchange, share: 1, sent })));
      const predicted = predictedTraffic(
        ofRanks.flatMap(({ table }) => rowsOf(table)),
        exchange,
      );
      expect(measured, about).toEqual(predicted);
      expect(measured, about).toHaveLength(2 * 4);
      const sentBy = (rank: number) =>
        measured.flatMap(({ bytes }) => bytes[rank]).reduce((sum, each) => sum + each, 0);
      ofRanks.forEach(({ rowBytesTo, allBytes }, rank) => {
        expect(
          rowBytesTo.reduce((sum, each) => sum + each, 0),
          about,
        ).toBe(sentBy(rank));
        // Counts, scores and choices are sent beside the rows.
        expect(allBytes, about).toBeGreaterThan(sentBy(rank));
      });
      expect(
        measured.flatMap(({ bytes }) => bytes.flat()).some((bytes) => bytes > 0),
        about,
      ).toBe(true);
    });
  });
}
