import { createHash } from 'node:crypto';
import type { Transport } from '../../src/collectives/transport.js';
import type { RunConfig } from '../../src/config/schema.js';
import { assignToRanks } from '../../src/data/placement.js';
import { homeRanksOfDomain } from '../../src/worker/home-ranks.js';
import { createTrainState } from '../../src/worker/state.js';
import { trainStep } from '../../src/worker/train-step.js';
import { tinyConfig } from '../model/support.js';
import { batchesOf } from './step-batches.js';

export interface PlacedCase {
  readonly moe: Partial<RunConfig['moe']>;
  readonly cluster: Partial<RunConfig['cluster']>;
  readonly train?: Partial<RunConfig['train']>;
  /** Whether sequences are placed on the ranks with the experts of their domain. */
  readonly byDomain?: true;
}

export interface PlacedResult {
  readonly losses: readonly number[];
  /** Hash of values and moments by the name of a parameter: those that all ranks hold, and this rank's experts. */
  readonly parameters: Readonly<Record<string, string>>;
  /** A few values of each parameter, compared with a tolerance, as another order of summation changes the last bits. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** Kept choices whose expert is on this rank. */
  readonly sameWorker: number;
}

const STEPS = 6;
const NUM_EXPERTS = 8;
const NUM_SEQUENCES = 8;
/** The layers differ, and a group of level 1 is spread over both nodes. */
const LAYERS = { 1: [3, 0, 2, 1, 1, 2, 0, 3], 2: [2, 2, 3, 0, 3, 1, 1, 0] };

export function trainPlaced(
  transport: Transport,
  { moe, cluster, train, byDomain }: PlacedCase,
  isPlaced: boolean,
): PlacedResult {
  const { topology } = transport;
  const { numNodes: nodes, workersPerNode, rank, worldSize } = topology;
  const placement = isPlaced
    ? ({ version: 1, numExperts: NUM_EXPERTS, nodes, workersPerNode, layers: LAYERS } as const)
    : null;
  const config = tinyConfig({
    model: { numSparseLayers: 2 },
    // The locality loss depends on nodes, so it would change with the placement.
    moe: { numExperts: NUM_EXPERTS, expertGroups: 2, localityLossWeight: 0, ...moe, placement },
    data: { placement: byDomain ? 'domain' : 'mixed' },
    cluster,
    train: { learningRate: 0.02, steps: STEPS, globalBatch: NUM_SEQUENCES, ...train },
  });
  const homes = homeRanksOfDomain(config, topology);
  const state = createTrainState(config, transport, null);
  let sameWorker = 0;
  const losses = Array.from({ length: STEPS }, (_, i) => {
    const [whole] = batchesOf(i % 2, 1, NUM_SEQUENCES);
    const domains = [...whole.domains];
    const ranks =
      homes === null
        ? domains.map((_, k) => Math.floor((k * worldSize) / NUM_SEQUENCES))
        : assignToRanks(domains, homes, worldSize);
    const rows = [...domains.keys()].filter((k) => ranks[k] === rank);
    const ofRows = (values: Int32Array) =>
      Int32Array.from(rows.flatMap((k) => [...values.subarray(k * whole.seqLen, (k + 1) * whole.seqLen)]));
    const batch = {
      numSequences: rows.length,
      seqLen: whole.seqLen,
      tokenIds: ofRows(whole.tokenIds),
      targets: ofRows(whole.targets),
      domains: Int32Array.from(rows, (k) => domains[k]),
    };
    const { report } = trainStep(state, { step: i + 1, batches: [batch] });
    sameWorker += report.layers.reduce((sum, layer) => sum + layer.measures.sameWorker.counts[0], 0);
    return report.loss;
  });
  const parameters: Record<string, string> = {};
  const samples: Record<string, number[]> = {};
  for (const group of [state.model.parameters.shared, state.model.parameters.expert])
    for (const { name, begin, end } of group.ranges) {
      const hash = createHash('sha256');
      for (const array of [group.values, group.m, group.v]) hash.update(array.subarray(begin, end));
      parameters[name] = hash.digest('hex');
      samples[name] = [...group.values.subarray(begin, begin + 8)];
    }
  state.model.dispose();
  return { losses, parameters, samples, sameWorker };
}
