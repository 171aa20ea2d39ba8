import { type StepRun, summarize } from '@locmoe/bench/internal/step/step-run';
import type { TurnResult } from '@locmoe/bench/internal/step/turns';
import { type Cell, cellId } from '../../step/cells.js';

const PARTS = { forward: 30, backward: 40, exchange: 5, allReduce: 3, optimizer: 2, waiting: 12 };

/** A run of ten steps of `stepMs` each and 1000 tokens; parts take 92 ms of every step. */
export function stepRun(stepMs: number, overrides: Partial<StepRun> = {}): StepRun {
  const steps = Array.from({ length: 10 }, (_, i) => ({
    loss: 8 - i / 10,
    endedAtMs: (i + 1) * stepMs,
    partsMs: PARTS,
  }));
  return {
    ...summarize(steps, 1000, { peakBytes: 1e9, gcMs: 1.5, keptPerToken: 0.75 }),
    ...overrides,
  };
}

/** A turn with these step times of locmoe and of the peer. */
export function turnResult(cell: Cell, ownMs: number, peerMs: number, plusMs?: number): TurnResult {
  return {
    name: cellId(cell),
    steps: 10,
    runs: {
      own: stepRun(ownMs),
      peer: stepRun(peerMs, { peakBytes: 2e9, gcMs: null, keptPerToken: null }),
      'own-bfloat16': stepRun(ownMs / 2),
      'peer-bfloat16': stepRun(1.2 * peerMs),
      ...(plusMs !== undefined && { 'locmoe-plus': stepRun(plusMs) }),
    },
    greatestDifference: 2e-6,
    greatestDifferenceBfloat16: 4e-3,
  };
}
