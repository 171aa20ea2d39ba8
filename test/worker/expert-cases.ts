import { createHash } from 'node:crypto';
import type { Transport } from '../../src/collectives/transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { validate } from '../../src/worker/validation.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf, validationBatchOf } from './step-batches.js';

export interface ExpertCase {
  readonly moe: Partial<RunConfig['moe']> & Pick<RunConfig['moe'], 'expertStorage'>;
  readonly cluster: Partial<RunConfig['cluster']>;
  readonly train?: Partial<RunConfig['train']> | undefined;
}

export interface ExpertResult {
  readonly losses: readonly number[];
  /** Hash of the values and moments of this rank's experts. */
  readonly experts: string;
  readonly reads: number;
  readonly updates: readonly number[];
}

const STEPS = 4;
/** The step in which the experts of the second domain have no tokens on any rank. */
const ONE_DOMAIN = 3;

/** Trains and validates as one rank. @param folder for a file of experts */
export function trainCase(
  transport: Transport,
  { moe, cluster, train }: ExpertCase,
  folder: string,
): ExpertResult {
  const { rank, worldSize } = transport.topology;
  /** Half of the global batch is of one domain and half of the other; the halves swap in each step. */
  const batchOf = (step: number) => {
    const batch = batchesOf(step, worldSize)[rank];
    const first = rank * batch.numSequences;
    const half = (worldSize * batch.numSequences) / 2;
    const domains = batch.domains.map((_, i) => (first + i < half === (step % 2 === 0) ? 1 : 0));
    if (step !== ONE_DOMAIN) return { ...batch, domains };
    return { ...batch, tokenIds: batch.tokenIds.map((id) => id % 8), domains: domains.fill(0) };
  };
  const config = tinyConfig({
    model: { numSparseLayers: 2 },
    moe,
    cluster,
    train: { expertUpdate: 'touched', learningRate: 0.01, steps: STEPS, ...train },
  });
  const state = createTrainState(config, transport, null, folder);
  const { slots, expert } = state.model.parameters;
  const losses: number[] = [];
  for (let step = 1; step <= STEPS; step++) {
    losses.push(trainStep(state, { step, batches: [batchOf(step)] }).report.loss);
    const batch = batchOf(1);
    const validated = validate(state.model, transport, [validationBatchOf(batch)], ['a', 'b']);
    losses.push(...validated.map(({ loss }) => loss));
  }
  const hash = createHash('sha256');
  for (const name of slots!.experts.keys())
    for (const { begin, end } of slots!.open(name))
      for (const array of [expert.values, expert.m, expert.v]) hash.update(array.subarray(begin, end));
  const updates = [...state.model.expertUpdates.values()].flatMap((updatesE) => [...updatesE]);
  const { reads } = slots!.statistics;
  state.model.dispose();
  return { losses, experts: hash.digest('hex'), reads, updates };
}

/** The same case with experts in memory, and in a file. */
export function trainInMemoryAndFile(
  transport: Transport,
  { moe, cluster, train }: ExpertCase,
  folder: string,
): ExpertResult[] {
  return (['memory', 'file'] as const).map((kind) => {
    const expertStorage = { ...moe.expertStorage, kind };
    return trainCase(transport, { moe: { ...moe, expertStorage }, cluster, train }, folder);
  });
}
