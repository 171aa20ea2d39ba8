import { expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { type ExpertCase, type ExpertResult, trainCase } from './expert-cases.js';

const EXPERT_MB = (16 * 2 * 8 * 16) / 1e6;
const budget = (experts: number) => ({ kind: 'file', budgetMB: experts * EXPERT_MB }) as const;

/** 2 layers have 8 experts on each of 4 ranks; a rank has room for 13 of its 16. */
const SPREAD = { router: 'hash', numExperts: 32, expertGroups: 2, expertStorage: budget(13) } as const;
/** Each expert is on 2 of 4 ranks, of which one has tokens for it in each step. */
const REPLICATED = { router: 'hash', numExperts: 2, expertGroups: 2, expertStorage: budget(2) } as const;
const OVERLAPPED = { exchange: 'hierarchical', overlapDegree: 2 } as const;

/** All parameters except the experts of rank 1 in the lower of the two sparse layers. */
const FROZEN = [
  'embed',
  'layers.0',
  'layers.2',
  'query',
  'ln_final',
  ...['ln_attn', 'attn', 'ln_ffn'].map((part) => `layers.1.${part}`),
  ...[...Array(32).keys()].filter((id) => id < 8 || id >= 16).map((id) => `layers.1.experts.${id}`),
];

export const EXPERTS: readonly ExpertCase[] = [
  { moe: SPREAD, cluster: OVERLAPPED },
  { moe: { ...SPREAD, router: 'switch' }, cluster: { deduplicate: true } },
  { moe: REPLICATED, cluster: OVERLAPPED },
  { moe: SPREAD, cluster: { exchange: 'flat', overlapDegree: 1 }, train: { freeze: FROZEN } },
];

/** @param resultsOf what each of 2 x 2 ranks returned, case by case, with experts in memory and in a file */
export function expertLaws(
  folder: string,
  resultsOf: () => readonly (readonly (readonly ExpertResult[])[])[],
): void {
  it('a file of experts gives the bits of memory, replicas agree, and losses are those of one rank', () => {
    const results = resultsOf();
    for (const ofRank of results)
      for (const [memory, file] of ofRank) expect({ ...file, reads: 0 }).toEqual(memory);
    // More than the first reads of all 16 experts.
    expect(results[0][0][1].reads).toBeGreaterThan(2 * 16);

    const replicas = results.map((ofRank) => ofRank[2][1].experts);
    expect([replicas[2], replicas[3]]).toEqual([replicas[0], replicas[1]]);
    expect(replicas[1]).not.toBe(replicas[0]);
    expect(results[0][2][1].updates).toEqual([4, 3, 4, 3]);

    EXPERTS.forEach(({ moe, train }, i) => {
      // One rank has all experts.
      const alone = trainCase(
        soloTransport(),
        { moe: { ...moe, expertStorage: budget(64) }, cluster: {}, train },
        folder,
      );
      expect(results[0][i][1].updates).toEqual(alone.updates);
      alone.losses.forEach((loss, k) => {
        const mean = results.reduce((sum, ofRank) => sum + ofRank[i][1].losses[k] / 4, 0);
        expect(mean / loss).toBeCloseTo(1, 4);
      });
    });
  });
}
