import { describe, expect, it } from 'vitest';
import { predict } from '../../src/plan/predict.js';
import {
  assumptionOf,
  choiceCosts,
  tierShares,
  UNIFORM,
  workingConfig,
} from '../../src/plan/routing-model.js';
import { configOf, inputOf } from './support.js';

const planOf = (sets: readonly string[], nodes: number, workers: number) =>
  predict(inputOf(configOf(sets, nodes, workers)));

describe('tierShares', () => {
  it.each([
    [1, 1, [1, 0, 0]],
    [1, 4, [1 / 4, 3 / 4, 0]],
    [2, 2, [1 / 4, 1 / 4, 1 / 2]],
    [4, 1, [1 / 4, 0, 3 / 4]],
    // Two blocks of eight ranks, each with a copy of all eight experts.
    [4, 4, [1 / 8, 3 / 8, 1 / 2]],
  ])('are even over the ranks that hold experts: %i x %i', (nodes, workers, expected) => {
    const { sameWorker, sameNode, otherNode } = tierShares(configOf([], nodes, workers), UNIFORM);
    [sameWorker, sameNode, otherNode].forEach((share, tier) => {
      expect(share).toBeCloseTo(expected[tier], 12);
    });
  });

  it('are all local where every node reads the domains whose experts it holds', () => {
    const config = configOf(['moe.expertGroups=2', 'data.placement=domain'], 2, 2);
    const { sameWorker, sameNode, otherNode } = tierShares(config, UNIFORM);
    expect([sameWorker, sameNode, otherNode]).toEqual([0.5, 0.5, 0]);
  });

  it('move to the node what the router brings home', () => {
    const shares = tierShares(configOf([], 2, 2), { ...UNIFORM, localGain: 0.5 });
    expect(shares).toEqual({ sameWorker: 0.375, sameNode: 0.375, otherNode: 0.25 });
  });
});

describe('assumptionOf', () => {
  it('keeps one choice of a token, but for LocMoE+ what was measured, what fills up, or all', () => {
    const kept = (...sets: readonly string[]) => assumptionOf(configOf(sets)).keptPerToken;
    const plus = ['moe.router=locmoe-plus', 'moe.maxExpertsPerToken=3'];
    expect(kept()).toBe(1);
    expect(kept(...plus, 'moe.capacityFactor=1.25')).toBe(0.53);
    expect(kept(...plus)).toBe(3);
    // Experts that can be filled to their capacity are assumed to be full.
    const full = [...plus, 'moe.affinityShare=1'];
    expect(kept(...full, 'moe.capacityFactor=0.6')).toBe(0.6);
    expect(kept(...full, 'moe.capacityFactor=9')).toBe(3);
    expect(assumptionOf(configOf(plus)).source).toContain('every choice kept');
  });
});

describe('choiceCosts', () => {
  // Counts of 8 experts, or score and id of the candidates of 512 tokens; and 3 numbers for the losses of each expert.
  it.each([
    ['hash', [], 0, 'counts', 4 * 8],
    ['switch', ['moe.expertsPerToken=2'], 0, 'counts', 4 * 8],
    ['locmoe', [], 0, 'counts', 4 * (8 + 24)],
    ['locmoe', ['moe.tableAfter=2'], 0, 'counts', 4 * 8],
    ['expert-choice', ['moe.capacityFactor=2'], 8, 'scores', 6 * 512 * 8],
    ['locmoe-plus', ['moe.maxExpertsPerToken=3'], 3, 'scores', 6 * 512 * 3 + 4 * 24],
    ['locmoe-plus', ['moe.selection=tcr'], 4, 'scores', 6 * 512 * 4 + 4 * 24],
  ])('follow from the rule of %s with %j', (router, sets, numCandidates, purpose, bytes) => {
    const costs = choiceCosts(workingConfig(configOf([`moe.router=${router}`, ...sets])));
    expect(costs).toMatchObject({ numCandidates, gathered: { purpose, bytes } });
  });
});

describe('traffic', () => {
  it('counts bytes and messages of 2 x 2 as a hand does', () => {
    const { traffic } = planOf([], 2, 2);
    const rowBytes = 4 * 32;
    // Two layers; dispatch and combine, forward and backward; 512 tokens; and the counts of 8 experts to each
    // rank.
    const rows = 2 * 4 * 512 * rowBytes;
    const counts = 2 * 4 * (8 * 4);
    expect(traffic.sameWorkerBytes).toBe(rows / 4);
    expect(traffic.sameNodeBytes).toBe(rows / 4 + counts);
    expect(traffic.otherNodeBytes).toBe(rows / 2 + 2 * counts);
    // Hierarchical: one message per node and exchange, five exchanges in two layers. Flat: one per pair of ranks,
    // except for the counts.
    expect(traffic.messagesBetweenNodes).toBe(2 * 5 * 2);
    expect(planOf(['cluster.exchange=flat'], 2, 2).traffic.messagesBetweenNodes).toBe(2 * 2 + 4 * 2 * 2 * 4);
  });

  it('reduces gradients by the steps that the all-reduce takes', () => {
    const steps = (nodes: number, workers: number, sets: readonly string[] = []) =>
      planOf(sets, nodes, workers)
        .exchanges.filter(({ purpose }) => purpose === 'gradients')
        .map(({ localBytes, remoteBytes }) => [localBytes, remoteBytes]);
    const bytes = 4 * planOf([], 1, 1).parameters.shared;
    expect(steps(1, 1)).toEqual([]);
    expect(steps(1, 2)).toEqual([
      [bytes / 2, 0],
      [bytes / 2, 0],
    ]);
    expect(steps(2, 1)).toEqual([[0, bytes]]);
    expect(steps(2, 1, ['cluster.wirePrecision=bfloat16'])).toEqual([[0, bytes / 2]]);
    expect(steps(1, 2, ['cluster.wirePrecision=bfloat16'])).toEqual(steps(1, 2));
    expect(steps(4, 2)).toEqual([
      [bytes / 2, 0],
      [0, (3 / 4) * (bytes / 2)],
      [0, (3 / 4) * (bytes / 2)],
      [bytes / 2, 0],
    ]);
  });

  it('reduces experts over their copies alone', () => {
    const replicas = (nodes: number, workers: number) =>
      planOf([], nodes, workers).exchanges.filter(({ purpose }) => purpose === 'expert gradients');
    expect(replicas(2, 4)).toEqual([]);
    const [first] = replicas(4, 4);
    expect(first).toMatchObject({ localMessages: 0, remoteMessages: 1, localBytes: 0 });
    expect(first.remoteBytes).toBe(((2 * 2 * 2 * 32 * 64) / 2) * 2);
  });
});
