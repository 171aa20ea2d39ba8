import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import type { PlacedCase, PlacedResult } from './placed-cases.js';

const OVERLAPPED = { exchange: 'hierarchical', overlapDegree: 2 } as const;
const IN_TURN = { exchange: 'flat', overlapDegree: 1 } as const;
/** The gradient norm is summed rank by rank, so clipping would let the placement change the last bits. */
const UNCLIPPED = { clipNorm: 1e6 } as const;
const PLUS = { router: 'locmoe-plus', maxExpertsPerToken: 3, capacityFactor: 0.9 } as const;

type Named = readonly [name: string, PlacedCase];
/** By day two routers stand for all: the one with the most state, whose experts choose, and one whose tokens choose. */
const BY_NIGHT: readonly Named[] = [
  ['locmoe', { moe: { router: 'locmoe', capacityFactor: 1.25 }, cluster: OVERLAPPED, train: UNCLIPPED }],
  ['switch', { moe: { router: 'switch', capacityFactor: 1.25 }, cluster: IN_TURN, train: UNCLIPPED }],
  ['moge', { moe: { router: 'moge', capacityFactor: 1.25 }, cluster: OVERLAPPED, train: UNCLIPPED }],
  [
    'expert-choice',
    { moe: { router: 'expert-choice', capacityFactor: 1 }, cluster: OVERLAPPED, train: UNCLIPPED },
  ],
  ['deepseek', { moe: { router: 'deepseek', expertsPerToken: 2 }, cluster: OVERLAPPED, train: UNCLIPPED }],
];
const TO_THE_BIT: readonly Named[] = [
  ['locmoe-plus', { moe: PLUS, cluster: OVERLAPPED, train: UNCLIPPED }],
  [
    'touched experts alone, switch',
    {
      moe: { router: 'switch', capacityFactor: 1.25 },
      cluster: IN_TURN,
      train: { ...UNCLIPPED, expertUpdate: 'touched' },
    },
  ],
  ...(NIGHTLY ? BY_NIGHT : []),
];
const NEARLY: readonly Named[] = [
  [
    'clipped, deduplicated, sequences where their experts are',
    {
      moe: { ...PLUS, selection: 'tcr' },
      cluster: { deduplicate: true },
      train: { clipNorm: 0.1 },
      byDomain: true,
    },
  ],
];
const TOLERANCE = 1e-4;
/** Adam makes full-size steps even for gradients near 0, which amplifies rounding. */
const VALUE_TOLERANCE = 1e-3;

export const PLACED = [...TO_THE_BIT, ...NEARLY].map(([, each]) => each);

/** @param resultsOf what each rank returned, case by case, with consecutive experts and with placed ones */
export function placedLaws(resultsOf: () => readonly (readonly (readonly PlacedResult[])[])[]): void {
  /** The combined results of all ranks for a case, with consecutive experts and with placed ones. */
  function ofWorld(k: number) {
    return [0, 1].map((i) => ({
      losses: resultsOf().map((cases) => cases[k][i].losses),
      parameters: Object.assign({}, ...resultsOf().map((cases) => cases[k][i].parameters)),
      samples: Object.assign({}, ...resultsOf().map((cases) => cases[k][i].samples)) as Record<
        string,
        number[]
      >,
      names: resultsOf().map((cases) => Object.keys(cases[k][i].parameters)),
    }));
  }

  it.each(TO_THE_BIT.map(([name], k) => [name, k] as const))(
    'placed experts have the losses, values and moments of consecutive ones to the bit: %s',
    (_, k) => {
      const [contiguous, placed] = ofWorld(k);
      expect(placed.losses).toEqual(contiguous.losses);
      expect(placed.parameters).toEqual(contiguous.parameters);
      // Experts must have moved, or the test shows nothing.
      expect(placed.names).not.toEqual(contiguous.names);
      expect(contiguous.losses[0].at(-1)).not.toBe(contiguous.losses[0][0]);
      expect(resultsOf().map((cases) => cases[k][1].sameWorker)).not.toEqual(
        resultsOf().map((cases) => cases[k][0].sameWorker),
      );
    },
  );

  it.each(NEARLY.map(([name], i) => [name, TO_THE_BIT.length + i] as const))(
    'placed experts have the losses and values of consecutive ones: %s',
    (_, k) => {
      const [contiguous, placed] = ofWorld(k).map(({ losses, samples }) => ({
        losses: losses[0].map((_, step) => losses.reduce((sum, ofRank) => sum + ofRank[step] / 4, 0)),
        samples,
      }));
      for (const [step, loss] of contiguous.losses.entries())
        expect(Math.abs(placed.losses[step] / loss - 1), `step ${step + 1}`).toBeLessThan(TOLERANCE);
      for (const [name, values] of Object.entries(contiguous.samples))
        for (const [i, value] of values.entries())
          expect(Math.abs(placed.samples[name][i] - value), name).toBeLessThan(VALUE_TOLERANCE);
    },
  );
}
