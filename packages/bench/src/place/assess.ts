import { locality } from '@locmoe/run-format';
import { nodeOf } from 'locmoe/internal/collectives/topology';
import { type RunConfig, sparseLayersOf } from 'locmoe/internal/config/schema';
import { rowBytesOf, wireBytesOf } from 'locmoe/internal/config/wire-precision';
import { parametersOfExpert } from 'locmoe/internal/model/parameter-counts';
import { placementOf } from 'locmoe/internal/routing/groups/expert-placement';
import { type PlanInput, predict } from '../plan/predict.js';
import { type TierShares, tokensPerRank } from '../plan/routing-model.js';
import { mean, sum } from '../statistics.js';
import type { RouteCounts } from './counts.js';
import { expectedRows } from './expected-rows.js';

// W ranks, E experts.

/** A row goes to its expert and its output comes back, and their gradients take the same two ways. */
export const WAYS_OF_ROW = 4;

/** The predicted step for one placement of the experts, over all ranks and sparse layers. */
export interface Assessment {
  /** Bytes of the sparse layers, as a run reports them: rows, and the counts or scores of the router. */
  readonly bytesSameNode: number;
  readonly bytesOtherNode: number;
  readonly tiers: TierShares;
  /**
   * Kept choices of the fullest rank divided by those of the mean rank: mean and maximum over the sparse
   * layers.
   */
  readonly load: number;
  readonly mostLoad: number;
  readonly stepMs: number;
  readonly partsMs: Readonly<Record<string, number>>;
}

export type Placement = RunConfig['moe']['placement'];

export function withPlacement(config: RunConfig, placement: Placement): RunConfig {
  return { ...config, moe: { ...config.moe, placement } };
}

/** @param placement null for consecutive experts */
export function assess(input: PlanInput, counts: RouteCounts, placement: Placement): Assessment {
  const config = withPlacement(input.config, placement);
  const { workersPerNode, nodes } = config.cluster;
  const worldSize = nodes * workersPerNode;
  const rows = { sameWorker: 0, sameNode: 0, otherNode: 0 };
  const loads = layersOf(config, counts).map(({ rowsWE, rankE }) => {
    const loadW = new Float64Array(worldSize);
    rowsWE.forEach((kept, at) => {
      const source = Math.floor(at / rankE.length);
      const to = rankE[at % rankE.length]!;
      loadW[to]! += kept;
      if (to === source) rows.sameWorker += kept;
      else if (nodeOf({ workersPerNode }, to) === nodeOf({ workersPerNode }, source)) rows.sameNode += kept;
      else rows.otherNode += kept;
    });
    const meanLoad = sum([...loadW]) / worldSize;
    return meanLoad === 0 ? 1 : Math.max(...loadW) / meanLoad;
  });
  const kept = rows.sameWorker + rows.sameNode + rows.otherNode;
  const tiers = locality([rows]) ?? { sameWorker: 1, sameNode: 0, otherNode: 0 };
  const load = mean(loads);
  const plan = predict({
    ...input,
    config,
    routing: {
      keptPerToken: kept / loads.length / (worldSize * tokensPerRank(config)),
      localGain: 0,
      imbalance: load,
      tiers,
      source: 'recorded routes',
    },
  });
  return {
    bytesSameNode: plan.traffic.sameNodeBytes,
    bytesOtherNode: plan.traffic.otherNodeBytes,
    tiers,
    load,
    mostLoad: Math.max(...loads),
    stepMs: plan.stepMs,
    partsMs: plan.partsMs,
  };
}

export interface PlacedLayer {
  readonly layer: number;
  /** Expected kept choices of a step, row-major [W, E]. */
  readonly rowsWE: Float64Array;
  /** Rank of each expert. */
  readonly rankE: Int32Array;
}

/** Returns the sparse layers of a configuration with a placement. */
export function layersOf(config: RunConfig, counts: RouteCounts): PlacedLayer[] {
  const { cluster, moe, model } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const rows = expectedRows(config, counts);
  return sparseLayersOf(model).map((layer, i) => {
    const placement = placementOf(moe, worldSize, layer);
    const rankE = Int32Array.from({ length: moe.numExperts }, (_, expert) =>
      placement.rankOfExpert(0, expert),
    );
    return { layer, rowsWE: rows[i]!, rankE };
  });
}

/** Savings that copies of experts on other nodes would bring; training makes no copies. */
export interface ReplicaEstimate {
  /** Copies that save more bytes of rows than the sum of their gradients costs, out of `ofCopies`. */
  readonly copies: number;
  readonly ofCopies: number;
  /** Bytes between nodes saved in a step: those of rows that stay, minus those of gradients. */
  readonly savedBytes: number;
}

/**
 * Estimates copies: a copy keeps the rows of its node on that node, but the gradients of its expert are sent
 * and received in each step.
 */
export function replicaEstimate(
  config: RunConfig,
  counts: RouteCounts,
  placement: Placement,
): ReplicaEstimate {
  const { nodes, workersPerNode } = config.cluster;
  const gradientBytes = 2 * parametersOfExpert(config) * wireBytesOf(config);
  const savings = layersOf(withPlacement(config, placement), counts).flatMap(({ rowsWE, rankE }) =>
    [...rankE].flatMap((rank, expert) => {
      const rowsOfNode = new Float64Array(nodes);
      for (let source = 0; source < nodes * workersPerNode; source++)
        rowsOfNode[nodeOf({ workersPerNode }, source)]! += rowsWE[source * rankE.length + expert]!;
      return [...rowsOfNode]
        .filter((_, node) => node !== nodeOf({ workersPerNode }, rank))
        .map((rows) => WAYS_OF_ROW * rowBytesOf(config) * rows - gradientBytes);
    }),
  );
  const paying = savings.filter((saved) => saved > 0);
  return { copies: paying.length, ofCopies: savings.length, savedBytes: sum(paying) };
}
