import type { Transport } from '../../src/collectives/transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from './step-batches.js';

export interface LayoutCase {
  readonly model?: Partial<RunConfig['model']> | undefined;
  readonly moe: Partial<RunConfig['moe']>;
  readonly cluster: Partial<RunConfig['cluster']>;
  readonly precision?: RunConfig['train']['precision'];
  readonly microBatches: number;
  readonly lora?: RunConfig['train']['lora'] | undefined;
}

const STEPS = 8;
/** Two sequences for each micro-batch of four ranks. */
const NUM_SEQUENCES = 8;

/** Trains as one rank; returns its loss in each step. Every second step has the same batch, so that a model can learn it. */
export function trainLayout(
  transport: Transport,
  { model, moe, cluster, precision = 'float32', microBatches, lora = null }: LayoutCase,
): number[] {
  const { rank, worldSize } = transport.topology;
  const config = tinyConfig({
    model: { numSparseLayers: 2, ...model },
    moe: { expertGroups: 2, ...moe },
    cluster,
    train: { learningRate: 0.02, steps: STEPS, globalBatch: NUM_SEQUENCES, microBatches, precision, lora },
  });
  const state = createTrainState(config, transport, null);
  const losses = Array.from({ length: STEPS }, (_, i) => {
    const parts = batchesOf(i % 2, worldSize * microBatches, NUM_SEQUENCES);
    // The ranks share out each micro-batch.
    const own = parts.filter((_, part) => part % worldSize === rank);
    return trainStep(state, { step: i + 1, batches: own }).report.loss;
  });
  state.model.dispose();
  return losses;
}
