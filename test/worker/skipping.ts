import { createHash } from 'node:crypto';
import type { Transport } from '../../src/collectives/transport.js';
import { armFailpoint } from '../../src/failpoint.js';
import { SkippedSteps } from '../../src/worker/skipped-steps.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from './step-batches.js';

export interface SkippingTask {
  readonly steps: number;
  /** The failpoint's specification, for one rank. */
  readonly fail: string;
  readonly rank: number;
}

export interface SkippingRank {
  /** The loss of each step; null if the step was skipped. */
  readonly losses: readonly (number | null)[];
  /** Hash of the parameters shared by all ranks, after each step. */
  readonly hashes: readonly string[];
  readonly warnings: readonly string[];
}

/** Trains as one rank, with a failpoint armed in one of the ranks. */
export function trainSkipping(
  transport: Transport,
  { steps, fail, rank: failing }: SkippingTask,
): SkippingRank {
  const { rank, worldSize } = transport.topology;
  if (rank === failing) armFailpoint(fail);
  const moe = { router: 'locmoe-plus', capacityFactor: 1 } as const;
  const state = createTrainState(tinyConfig({ moe }), transport, null);
  const { shared } = state.model.parameters;
  const warnings: string[] = [];
  const skipped = new SkippedSteps(state, {
    info() {},
    warn: (_: object, text?: string) => warnings.push(text!),
  });
  const losses: (number | null)[] = [];
  const hashes: string[] = [];
  for (let step = 1; step <= steps; step++) {
    const batches = [batchesOf(step, worldSize)[rank]];
    const outcome = trainStep(state, { step, batches });
    skipped.add(outcome, { batches, quote: () => `the text of rank ${rank}` });
    losses.push(outcome.report.skipped ? null : outcome.report.loss);
    const hash = createHash('sha256');
    for (const values of [shared.values, shared.m, shared.v, ...state.model.routerState.values()])
      hash.update(values);
    hashes.push(hash.digest('hex'));
  }
  return { losses, hashes, warnings };
}
