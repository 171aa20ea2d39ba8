import { segmentBytes } from '../collectives/shm-layout.js';
import { expertWidthOf, type RunConfig, ringBytesOf } from '../config/schema.js';
import { elementTypeOf, usesOneDnn } from '../ops/kernels/choose-kernels.js';
import { familyOf } from './family.js';
import { expertsInMemory, type ParameterCounts, parameterCounts } from './parameter-counts.js';

// Shapes as in work.ts.

/** Bytes that one rank keeps in memory. */
export interface RankMemory {
  /** Values, with TensorFlow's copy of them where TensorFlow computes. */
  readonly parameters: number;
  /** Flat array of gradients; TensorFlow's own gradients are freed one by one. */
  readonly gradients: number;
  /** Adam's two moments. */
  readonly moments: number;
  /** Activations at the end of the forward pass; the backward pass frees more than it adds. */
  readonly activations: number;
  /** Shared-memory rings that the rank writes to and reads from. */
  readonly rings: number;
  /** Memory of Node.js, TensorFlow and the program. */
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
  const experts = expertsInMemory(config, parameters);
  const held = FLOAT_BYTES * (parameters.shared + experts);
  const { shared, expertsOfRank } = parameters.trained;
  const trained = FLOAT_BYTES * (shared + Math.min(expertsOfRank, experts));
  // Copies of the matrices of experts with rows, to which low-rank pairs are added (lora.ts).
  const merged = rows > 0 && config.train.lora?.on.includes('experts') ? experts - expertsOfRank : 0;
  const { nodes, workersPerNode } = config.cluster;
  const parts = {
    parameters: usesOneDnn() ? held : 2 * held,
    gradients: trained,
    moments: 2 * trained,
    activations: FLOAT_BYTES * (activations(config, rows) + merged),
    rings: 2 * (nodes * workersPerNode - 1) * ringBytesOf(config.cluster),
    process: processBytes,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/**
 * Returns the memory that a rank needs even if its router drops everything: its model, and the activations of its
 * sequences outside the experts. `rings` and `process` are 0.
 */
export function leastRankMemory(config: RunConfig): RankMemory {
  const { parameters, gradients, moments, activations } = rankMemory(config, parameterCounts(config), 0, 0);
  const total = parameters + gradients + moments + activations;
  return { parameters, gradients, moments, activations, rings: 0, process: 0, total };
}

/** Returns the shared memory that one node needs in /dev/shm. */
export function segmentBytesOfNode({ cluster }: RunConfig): number {
  const { nodes: numNodes, workersPerNode } = cluster;
  return segmentBytes({ node: 0, numNodes, workersPerNode, ringBytes: ringBytesOf(cluster) });
}

/**
 * Returns the size of the activations that the backward pass needs, in float32 numbers. Kernels keep the operands of
 * products in their own precision; TensorFlow's kernels also keep the logits and their exponentials.
 */
function activations(config: RunConfig, rows: number): number {
  const { model, moe, train, cluster } = config;
  const { dModel, dFeedForward, seqLen, vocabSize } = model;
  const operand = usesOneDnn() && elementTypeOf(train.precision) === 'bfloat16' ? 0.5 : 1;
  const logits = usesOneDnn() ? operand : 2;
  const T = (train.globalBatch * seqLen) / (cluster.nodes * cluster.workersPerNode * train.microBatches);
  const n = T * dModel;
  const { projection, feedForward } = familyOf(config);
  const { matrices, normed, attended } = projection.widths(dModel);
  const projected = sum(matrices);
  const hidden = feedForward.length - 1;
  // The pass keeps the norm's input and the operands of products: the norm's result, queries, keys and values, and
  // their weighted sums. The weighted sums and the inputs of heads' norms are also kept in float32. Each projection has
  // its own narrowed copy of the norm's result.
  const attention =
    n +
    T * sum(normed) +
    operand * (n + T * (projected + attended)) +
    (operand < 1 ? T * attended + operand * (matrices.length - 1) * n : 0);
  const dense = attention + n + operand * (n + hidden * T * dFeedForward);
  // The gate keeps float32. For the rows of experts, their inputs, hidden states and results are kept.
  const width = expertWidthOf(config);
  const shared =
    moe.sharedExperts === 0
      ? 0
      : operand * T * moe.sharedExperts * hidden * width +
        (operand < 1 ? operand * n : 0) +
        (moe.sharedExpertGate ? n : 0);
  const sparse = attention + 2 * n + shared + rows * (operand * (dModel + hidden * width) + dModel);
  const query = model.queryLayer ? dense : 0;
  const softmax = n + operand * n + logits * T * vocabSize;
  return model.numDenseLayers * dense + model.numSparseLayers * sparse + query + softmax;
}

function sum(widths: readonly number[]): number {
  return widths.reduce((total, width) => total + width, 0);
}
