import { expect, it } from 'vitest';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { expectClose } from '../model/support.js';
import { NIGHTLY } from '../nightly.js';
import { type SelectionCase, type SelectionResult, select } from './selection-cases.js';

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const PLUS = { router: 'locmoe-plus', numExperts: 4, capacityFactor: 0.8, capacityInterval: 2 } as const;
const LOCMOE = {
  router: 'locmoe',
  numExperts: 4,
  capacityFactor: 0.8,
  capacityBatches: 2,
  affinityShare: 0.5,
  localityLossWeight: 0.5,
} as const;
const GROUPS = { numExperts: 8, expertGroups: 2, capacityFactor: 0.8 } as const;
const TOP_2 = { ...GROUPS, expertsPerToken: 2, zLossWeight: 0.1 } as const;
const FEW_CANDIDATES = { candidatesPerToken: 2, zLossWeight: 0.1 } as const;
const ONE_DEVICE_GROUP = { maxDeviceGroups: 1, biasUpdateRate: 0.05 } as const;
const ONE_CANDIDATE = { affinityThreshold: 0.7, localityLossWeight: 0.5, maxExpertsPerToken: 1 } as const;
const TWO_EXPERTS = { affinityThreshold: 0.9, numExperts: 2, localityLossWeight: 0 } as const;

/** Each configuration with its number of domains. */
const CASES = [
  [{ ...PLUS, affinityThreshold: 0.7, localityLossWeight: 0.5 }, 1],
  [{ ...PLUS, expertGroups: 2, learnedGroups: true, localityLossWeight: 0.5 }, 3],
  [{ ...PLUS, selection: 'ecr', selectionSchedule: 'linear' }, 1],
  [{ ...PLUS, selection: 'tcr', ...TWO_EXPERTS }, 1],
  [{ ...PLUS, ranking: 'random', affinityThreshold: 0.7 }, 1],
  [{ ...PLUS, ...ONE_CANDIDATE, tableAfter: 2 }, 1],
  [{ router: 'expert-choice', numExperts: 4, capacityFactor: 1 }, 1],
  [{ router: 'expert-choice', ...GROUPS, ...FEW_CANDIDATES }, 3],
  [{ router: 'moge', ...GROUPS, deviceGroups: 2 }, 3],
  [{ router: 'deepseek', ...TOP_2, ...ONE_DEVICE_GROUP }, 3],
  [{ router: 'hash', numExperts: 4, capacityFactor: 0.8 }, 1],
  [{ router: 'switch', ...GROUPS }, 3],
  [{ router: 'switch', ...TOP_2 }, 3],
  [{ router: 'switch', ...GROUPS, tableAfter: 2 }, 3],
  [LOCMOE, 1],
  [{ ...LOCMOE, expertsPerToken: 2, zLossWeight: 0.1 }, 1],
] as const;

export const SELECTIONS: readonly SelectionCase[] = CASES.map(([moe, numDomains]) => ({ moe, numDomains }));

/** @param resultsOf what the ranks of each layout returned, case by case */
export function selectionLaws(
  resultsOf: () => ReadonlyMap<string, readonly (readonly SelectionResult[])[]>,
): void {
  it.each(CASES.map(([moe], index) => [moe, index] as const))(
    '%j chooses the same in one rank and several, with tokens dropped and ties',
    (moe, index) => {
      const reference = select(soloTransport(), SELECTIONS[index]!);
      const [first] = reference.steps;
      expect(first.kept).toBeLessThan(first.routed);
      const losses = new Map<string, number[]>();
      for (const [layout, ofRanks] of resultsOf()) {
        const ranks = ofRanks.map((cases) => cases[index]);
        reference.steps.forEach((expected, step) => {
          const parts = ranks.map(({ steps }) => steps[step]);
          expect(parts.flatMap(({ chosen }) => [...chosen])).toEqual([...expected.chosen]);
          for (const { capacityE } of parts) expect(capacityE).toEqual(expected.capacityE);
          expectClose(
            parts.flatMap(({ y }) => [...y]),
            expected.y,
            1e-6,
          );
        });
        for (const { state } of ranks) expect(state).toEqual(reference.state);
        losses.set(
          layout,
          reference.steps.map((_step, step) => mean(ranks.map(({ steps }) => steps[step].auxiliaryLoss))),
        );
      }
      // The locality loss depends on nodes, not on workers.
      const isLocal =
        moe.router.startsWith('locmoe') && !('localityLossWeight' in moe && moe.localityLossWeight === 0);
      const oneNode = reference.steps.map(({ auxiliaryLoss }) => auxiliaryLoss);
      for (const [layout, ofLayout] of losses)
        if (!isLocal || layout.startsWith('1x')) expectClose(ofLayout, oneNode, 1e-6);
        else if (layout === '2x2' && NIGHTLY) expectClose(ofLayout, losses.get('2x1')!, 1e-6);
    },
  );
}
