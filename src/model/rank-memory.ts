import { segmentBytes } from '../collectives/shm-layout.js';
import type { RunConfig } from '../config/schema.js';
import { usesOneDnn } from '../ops/kernels/choose-kernels.js';
import { type ParameterCounts, parameterCounts } from './parameter-counts.js';

// Shapes as in work.ts.

/** Bytes that one rank keeps in memory. */
export interface RankMemory {
  /** Values, and TensorFlow's copy of them if it computes. */
  readonly parameters: number;
  /** Flat; TensorFlow's are freed one by one. */
  readonly gradients: number;
  /** Adam's two moments. */
  readonly moments: number;
  /** What there is at the end of the forward pass; the backward frees more than it adds. */
  readonly activations: number;
  /** Rings that it writes to and reads from. */
  readonly rings: number;
  /** Node, TensorFlow and the program. */
  readonly process: number;
  readonly total: number;
}

const FLOAT_BYTES = 4;

export function rankMemory(
  config: RunConfig,
  parameters: ParameterCounts,
  rows: number,
  processBytes: number,
): RankMemory {
  const held = FLOAT_BYTES * (parameters.shared + parameters.expertsOfRank);
  const { nodes, workersPerNode, ringBytes } = config.cluster;
  const parts = {
    parameters: usesOneDnn() ? held : 2 * held,
    gradients: held,
    moments: 2 * held,
    activations: FLOAT_BYTES * activations(config, rows),
    rings: 2 * (nodes * workersPerNode - 1) * ringBytes,
    process: processBytes,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/**
 * What a rank cannot do without, whatever its router drops: its model, and the activations of its sequences
 * outside the experts. `rings` and `process` are 0.
 */
export function leastRankMemory(config: RunConfig): RankMemory {
  const { parameters, gradients, moments, activations } = rankMemory(config, parameterCounts(config), 0, 0);
  const total = parameters + gradients + moments + activations;
  return { parameters, gradients, moments, activations, rings: 0, process: 0, total };
}

/** Shared memory that one node needs in /dev/shm. */
export function segmentBytesOfNode({ cluster }: RunConfig): number {
  const { nodes: numNodes, workersPerNode, ringBytes } = cluster;
  return segmentBytes({ node: 0, numNodes, workersPerNode, ringBytes });
}

/** What the kernels keep of the logits, in float32 numbers each: TensorFlow's keep their exponentials too. */
function logitsKept(precision: RunConfig['train']['precision']): number {
  if (!usesOneDnn()) return 2;
  return precision === 'float32' ? 1 : 0.5;
}

/** Numbers that autograd holds at the end of the forward pass: what operations give and what they save. */
function activations({ model, train, cluster }: RunConfig, rows: number): number {
  const { dModel, dFeedForward, seqLen, vocabSize } = model;
  const T = (train.globalBatch * seqLen) / (cluster.nodes * cluster.workersPerNode * train.microBatches);
  const n = T * dModel;
  // Its input is kept too, the residual of the half before.
  const norm = n;
  // Queries, keys and values, the weighted sums, the projection and the residual.
  const attention = norm + 3 * n + n + n + n;
  const feedForward = (numRows: number) => numRows * (dFeedForward + dModel);
  const residual = n;
  const dense = attention + norm + feedForward(T) + residual;
  // Rows are gathered, received, joined, brought home and weighted.
  const sparse = attention + norm + feedForward(rows) + 5 * rows * dModel + residual;
  const query = model.queryLayer ? dense + 4 * n : 0;
  const softmax = logitsKept(train.precision) * T * vocabSize + norm;
  return residual + model.numDenseLayers * dense + model.numSparseLayers * sparse + query + softmax;
}
