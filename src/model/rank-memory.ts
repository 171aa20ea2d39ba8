import { segmentBytes } from '../collectives/shm-layout.js';
import { ringBytesOf } from '../config/cluster-sizes.js';
import type { RunConfig } from '../config/schema.js';
import { usesOneDnn } from '../ops/kernels/choose-kernels.js';
import { expertsInMemory, type ParameterCounts, parameterCounts } from './parameter-counts.js';
import { modelWork, totalWork } from './work.js';

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
  const numRanks = nodes * workersPerNode;
  const sequences = config.train.globalBatch / (numRanks * config.train.microBatches);
  const { kept } = totalWork(modelWork(config, { sequences, rows, experts: 0 }));
  const parts = {
    parameters: usesOneDnn() ? held : 2 * held,
    gradients: trained,
    moments: 2 * trained,
    activations: FLOAT_BYTES * (kept + merged),
    rings: 2 * (numRanks - 1) * ringBytesOf(config.cluster),
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
