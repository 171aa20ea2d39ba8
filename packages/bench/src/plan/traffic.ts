import type { OperationKind } from '@locmoe/run-format/operations';
import { type Topology, topologyOf } from 'locmoe/internal/collectives/topology';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { rowBytesOf, wireBytesOf } from 'locmoe/internal/config/wire-precision';
import type { ParameterCounts } from 'locmoe/internal/model/parameter-counts';
import { heldExperts } from 'locmoe/internal/routing/groups/domain-groups';
import { choiceCosts, numReplicas, type TierShares, workingConfig } from './routing-model.js';

// W ranks, N nodes of G ranks. Steps and bytes are those documented in src/collectives/.

/** One collective step as seen by a mean rank, which receives as much as it sends. */
export interface Exchange {
  readonly kind: OperationKind;
  readonly purpose: string;
  readonly phase: 'forward' | 'backward' | 'reduce';
  /** Occurrences per training step. */
  readonly count: number;
  /** Messages and bytes sent to ranks of the same node, and to other nodes. */
  readonly localMessages: number;
  readonly localBytes: number;
  readonly remoteMessages: number;
  readonly remoteBytes: number;
  /** Whether one node sends to another in a single message. */
  readonly aggregate: boolean;
  /** Number of elements summed. */
  readonly summed: number;
}

/** Bytes of activations that stay on their worker or leave it; summed over ranks, per step. */
export interface Traffic {
  readonly sameWorkerBytes: number;
  readonly sameNodeBytes: number;
  readonly otherNodeBytes: number;
  /** Messages on the wire between nodes, not counting frames. */
  readonly messagesBetweenNodes: number;
}

/** Size up to which an all-reduce takes one collective step (src/collectives/all-reduce.ts). */
const DIRECT_BYTES = 16 << 10;
const FLOAT_BYTES = 4;

/** Returns all collectives of one training step, in order. */
export function exchangesOf(
  config: RunConfig,
  tiers: TierShares,
  rowsPerRank: number,
  moved: ParameterCounts['trained'],
): Exchange[] {
  const { cluster, model } = config;
  const topology = topologyOf(0, cluster.nodes, cluster.workersPerNode);
  if (topology.worldSize === 1) return [];
  const layers = { count: model.numSparseLayers };
  const rows = allToAll(config, topology, tiers, rowsPerRank);
  return [
    { ...allGather(config, topology), ...layers, phase: 'forward' },
    { ...rows, ...layers, purpose: 'dispatch', phase: 'forward' },
    { ...rows, ...layers, purpose: 'combine', phase: 'forward' },
    { ...rows, ...layers, purpose: 'combine gradient', phase: 'backward' },
    { ...rows, ...layers, purpose: 'dispatch gradient', phase: 'backward' },
    ...allReduce('gradients', moved.shared, topology, wireBytesOf(config)),
    ...replicaReduce(config, moved.expertsOfRank, topology),
    ...allReduce('gradient norm', 6, topology),
  ];
}

type Transfer = Omit<Exchange, 'phase' | 'count'>;

/** Counts the destinations, by location, of a rank that sends to all other ranks. */
function everyone({ worldSize, workersPerNode }: Topology) {
  return { localMessages: workersPerNode - 1, remoteMessages: worldSize - workersPerNode };
}

function allToAll(config: RunConfig, topology: Topology, tiers: TierShares, rowsPerRank: number): Transfer {
  const bytes = rowsPerRank * rowBytesOf(config);
  return {
    kind: 'all-to-all',
    purpose: 'rows',
    ...everyone(topology),
    localBytes: bytes * tiers.sameNode,
    remoteBytes: bytes * tiers.otherNode,
    aggregate: config.cluster.exchange !== 'flat',
    summed: 0,
  };
}

/** Describes the exchange of counts or scores before tokens move. */
function allGather(config: RunConfig, topology: Topology): Transfer {
  const { purpose, bytes } = choiceCosts(workingConfig(config)).gathered;
  const messages = everyone(topology);
  return {
    kind: 'all-gather',
    purpose,
    ...messages,
    localBytes: bytes * messages.localMessages,
    remoteBytes: bytes * messages.remoteMessages,
    aggregate: true,
    summed: 0,
  };
}

/** @param remoteFloatBytes size of a number sent to another node */
function allReduce(
  purpose: string,
  numSummed: number,
  topology: Topology,
  remoteFloatBytes = FLOAT_BYTES,
): Exchange[] {
  const bytes = FLOAT_BYTES * numSummed;
  const { numNodes: N, workersPerNode: G, worldSize: W } = topology;
  const step = { kind: 'all-reduce', purpose, phase: 'reduce', count: 1 } as const;
  if (bytes <= DIRECT_BYTES) {
    const messages = everyone(topology);
    return [
      {
        ...step,
        ...messages,
        localBytes: bytes * messages.localMessages,
        remoteBytes: bytes * messages.remoteMessages,
        aggregate: true,
        summed: W * numSummed,
      },
    ];
  }
  const inNode = { ...NO_TRANSFER, ...step, localMessages: G - 1, localBytes: ((G - 1) / G) * bytes };
  const between = (messages: number, sent: number) => ({
    ...NO_TRANSFER,
    ...step,
    remoteMessages: messages,
    remoteBytes: sent,
  });
  const slice = (remoteFloatBytes * numSummed) / G;
  return [
    ...(G > 1 ? [{ ...inNode, summed: numSummed }] : []),
    ...(N === 2 ? [{ ...between(1, slice), summed: (2 * numSummed) / G }] : []),
    ...(N > 2
      ? [
          { ...between(N - 1, ((N - 1) / N) * slice), summed: numSummed / G },
          between(N - 1, ((N - 1) / N) * slice),
        ]
      : []),
    ...(G > 1 ? [inNode] : []),
  ];
}

const NO_TRANSFER = {
  localMessages: 0,
  localBytes: 0,
  remoteMessages: 0,
  remoteBytes: 0,
  aggregate: false,
  summed: 0,
} as const;

/** Describes the all-reduce of expert gradients among the ranks with replicas: r, r + n, r + 2 n, ... for n experts. */
function replicaReduce(config: RunConfig, numSummed: number, topology: Topology): Exchange[] {
  const replicas = numReplicas(config);
  if (replicas === 1 || numSummed === 0) return [];
  const isLarge = FLOAT_BYTES * numSummed > DIRECT_BYTES;
  const inNode = Math.max(1, topology.workersPerNode / heldExperts(config.moe).count);
  const bytes = numSummed * (replicas > inNode && isLarge ? wireBytesOf(config) : FLOAT_BYTES);
  const exchange: Exchange = {
    kind: 'all-reduce',
    purpose: 'expert gradients',
    phase: 'reduce',
    count: 1,
    localMessages: inNode - 1,
    localBytes: ((inNode - 1) / replicas) * bytes,
    remoteMessages: replicas - inNode,
    remoteBytes: ((replicas - inNode) / replicas) * bytes,
    aggregate: false,
    summed: 0,
  };
  return [{ ...exchange, summed: numSummed }, exchange];
}

/** Counts the messages from one node to all others in one exchange. */
export function messagesOfNode(
  { aggregate, remoteMessages }: Exchange,
  { nodes, workersPerNode }: RunConfig['cluster'],
) {
  if (remoteMessages === 0) return 0;
  return aggregate ? nodes - 1 : workersPerNode * remoteMessages;
}

/**
 * Counts the bytes that exchanges of sparse layers move per step, as a run reports them (counts and scores included).
 */
export function trafficOf(
  config: RunConfig,
  exchanges: readonly Exchange[],
  tiers: TierShares,
  rowsPerRank: number,
): Traffic {
  const { cluster, model } = config;
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const ofLayers = exchanges.filter(({ phase }) => phase !== 'reduce');
  const sum = (of: (exchange: Exchange) => number) =>
    ofLayers.reduce((total, exchange) => total + exchange.count * of(exchange), 0);
  const rowBytes = rowBytesOf(config);
  return {
    sameWorkerBytes: 4 * model.numSparseLayers * worldSize * rowsPerRank * tiers.sameWorker * rowBytes,
    sameNodeBytes: worldSize * sum(({ localBytes }) => localBytes),
    otherNodeBytes: worldSize * sum(({ remoteBytes }) => remoteBytes),
    messagesBetweenNodes: cluster.nodes * sum((exchange) => messagesOfNode(exchange, cluster)),
  };
}

export function timesTraffic(count: number, traffic: Traffic): Traffic {
  const times = Object.entries(traffic).map(([name, each]) => [name, count * each]);
  return Object.fromEntries(times) as unknown as Traffic;
}
