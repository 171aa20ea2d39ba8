import type { RunConfig } from 'locmoe/internal/config/schema';
import {
  expertsPerRank,
  type ParameterCounts,
  parameterCounts,
} from 'locmoe/internal/model/parameter-counts';
import { type RankMemory, rankMemory, segmentBytesOfNode } from 'locmoe/internal/model/rank-memory';
import { type ModelWork, modelWork, type RankLoad, timesWork, totalWork } from 'locmoe/internal/model/work';
import {
  computeS,
  coreShare,
  countsBetweenNodes,
  countsInNode,
  exchangeS,
  type Machines,
  slowdownOf,
} from './cost.js';
import type { Link } from './link.js';
import type { MachineProfile } from './profile.js';
import {
  busiestLoad,
  choiceCosts,
  type RoutingAssumption,
  type TierShares,
  tierShares,
  touchedShare,
  workingConfig,
} from './routing-model.js';
import {
  type Exchange,
  exchangesOf,
  messagesOfNode,
  type Traffic,
  timesTraffic,
  trafficOf,
} from './traffic.js';

/** Step time by part in ms; the parts add up to the step. */
export const TIME_PARTS = [
  'forward',
  'backward',
  'optimizer',
  'exchange in node',
  'exchange between nodes',
  'all-reduce in node',
  'all-reduce between nodes',
  'waiting',
] as const;
export type TimePart = (typeof TIME_PARTS)[number];

export interface PlanInput {
  /** Configuration, with `cluster` as planned. */
  readonly config: RunConfig;
  readonly profile: MachineProfile;
  readonly coresPerNode: number;
  /** Link of each node to all others together; null if only the agents limit the rate. */
  readonly link: Link | null;
  readonly routing: RoutingAssumption;
}

export interface Plan {
  readonly stepMs: number;
  readonly partsMs: Readonly<Record<TimePart, number>>;
  /** Share of the step spent in the all-to-alls of sparse layers. */
  readonly allToAllShare: number;
  readonly tokensPerS: number;
  /** Work of one rank. */
  readonly work: ModelWork;
  readonly parameters: ParameterCounts;
  readonly memory: RankMemory;
  readonly segmentBytesOfNode: number;
  readonly tiers: TierShares;
  readonly traffic: Traffic;
  readonly exchanges: readonly Exchange[];
}

/**
 * Predicts a training step. Compute is work divided by measured speed, with cores shared if a node has more
 * workers than cores. A collective step starts when the last rank arrives; it costs latency, messages and
 * bytes inside the node and between nodes, plus the time on the link. Micro-batches run their passes one
 * after the other, and share one update.
 */
export function predict(input: PlanInput): Plan {
  const { config } = input;
  const { microBatches, globalBatch } = config.train;
  const train = { ...config.train, globalBatch: globalBatch / microBatches, microBatches: 1 };
  const movedShare = touchedShare(config, input.routing);
  return repeated(predictOne({ ...input, config: { ...config, train } }, movedShare), microBatches);
}

/** Parts of a step that every micro-batch repeats. */
const OF_PASSES: readonly TimePart[] = [
  'forward',
  'backward',
  'exchange in node',
  'exchange between nodes',
  'waiting',
];

/** Derives a step of `numPasses` micro-batches from a step with one. */
function repeated(one: Plan, numPasses: number): Plan {
  if (numPasses === 1) return one;
  const partsMs = Object.fromEntries(
    TIME_PARTS.map((part) => [part, one.partsMs[part] * (OF_PASSES.includes(part) ? numPasses : 1)]),
  ) as Plan['partsMs'];
  const stepMs = sumOf(partsMs);
  // Growth of the quantities that the passes contribute to a step.
  const growth = (numPasses * one.stepMs) / stepMs;
  return {
    ...one,
    stepMs,
    partsMs,
    allToAllShare: one.allToAllShare * growth,
    tokensPerS: one.tokensPerS * growth,
    work: timesWork(numPasses, one.work),
    traffic: timesTraffic(numPasses, one.traffic),
    exchanges: one.exchanges.map((exchange) =>
      exchange.phase === 'reduce' ? exchange : { ...exchange, count: numPasses * exchange.count },
    ),
  };
}

function sumOf(partsMs: Plan['partsMs']): number {
  return TIME_PARTS.reduce((sum, part) => sum + partsMs[part], 0);
}

/** @param movedShare share of the experts' parameters that an update changes */
function predictOne(input: PlanInput, movedShare: number): Plan {
  const { config, profile, routing } = input;
  const { nodes, workersPerNode } = config.cluster;
  const machines = { nodes, workersPerNode, coresPerNode: input.coresPerNode };
  const worldSize = nodes * workersPerNode;
  const sequences = config.train.globalBatch / worldSize;
  const tokens = sequences * config.model.seqLen;
  const rows = tokens * routing.keptPerToken;
  const load = { sequences, rows, experts: expertsPerRank(config) };
  const tiers = tierShares(config, routing);
  const parameters = parameterCounts(config);
  const { trained } = parameters;
  const moved = { ...trained, expertsOfRank: movedShare * trained.expertsOfRank };
  const exchanges = exchangesOf(config, tiers, rows, moved);
  const partsMs = {
    ...computeMs(input, machines, load, moved),
    ...exchangesMs(exchanges, input, machines),
  };
  const stepMs = sumOf(partsMs);
  const allToAll = exchangesMs(
    exchanges.filter(({ kind }) => kind === 'all-to-all'),
    input,
    machines,
  );
  return {
    stepMs,
    partsMs,
    allToAllShare: (allToAll['exchange in node'] + allToAll['exchange between nodes']) / stepMs,
    tokensPerS: (worldSize * tokens * 1000) / stepMs,
    work: modelWork(workingConfig(config), load),
    parameters,
    memory: rankMemory(config, parameters, rows, profile.processBytes),
    segmentBytesOfNode: segmentBytesOfNode(config),
    tiers,
    traffic: trafficOf(config, exchanges, tiers, rows),
    exchanges,
  };
}

type ComputePart = Extract<TimePart, 'forward' | 'backward' | 'optimizer' | 'waiting'>;

function computeMs(
  { config, profile, routing }: PlanInput,
  machines: Machines,
  load: RankLoad,
  moved: ParameterCounts['trained'],
): Record<ComputePart, number> {
  const { compute } = profile;
  const slowdown = slowdownOf(compute, machines);
  const share = coreShare(machines, machines.workersPerNode);
  const elapsedMs = (coreS: number) => (1000 * slowdown * coreS) / share;
  const working = workingConfig(config);
  const pass = totalWork(modelWork(working, load));
  const numMoved = moved.shared + moved.expertsOfRank;
  return {
    forward: elapsedMs(computeS(pass.forward, compute) + gateS(working, compute, load.sequences)),
    backward: elapsedMs(computeS(pass.backward, compute) + numMoved * compute.gradientNs * 1e-9),
    optimizer: elapsedMs(numMoved * compute.parameterNs * 1e-9),
    waiting: 1000 * slowdown * waitingS(working, compute, load, busiestLoad(config, routing), share),
  };
}

/** Returns the time of routing outside TensorFlow, in all sparse layers. */
function gateS(config: RunConfig, compute: MachineProfile['compute'], sequences: number): number {
  const { model, moe, train } = config;
  const numTokens = sequences * model.seqLen;
  const { hostNs, numCandidates } = choiceCosts(config);
  const ofTokens =
    numTokens *
    ((compute.routerTokenNs as Readonly<Record<string, number | undefined>>)[moe.router] ?? hostNs);
  const ofCandidates = train.globalBatch * model.seqLen * numCandidates * compute.candidateNs;
  return model.numSparseLayers * (ofTokens + ofCandidates) * 1e-9;
}

/**
 * Returns the time of waiting for the rank with the busiest experts, to which the waiting ranks may leave their cores.
 */
function waitingS(
  config: RunConfig,
  compute: MachineProfile['compute'],
  load: RankLoad,
  busiest: number,
  share: number,
): number {
  const expertS = (rows: number) => {
    const { forward, backward } = modelWork(config, { ...load, rows }).experts;
    return computeS(forward, compute) + computeS(backward, compute);
  };
  if (config.model.numSparseLayers === 0) return 0;
  return Math.max(0, expertS(busiest * load.rows) - expertS(load.rows) / share);
}

type ExchangePart = Exclude<TimePart, ComputePart>;

function exchangesMs(
  exchanges: readonly Exchange[],
  { config, profile, link }: PlanInput,
  machines: Machines,
): Record<ExchangePart, number> {
  const parts = Object.fromEntries(
    TIME_PARTS.filter((part) => / (in|between) node/.test(part)).map((part) => [part, 0]),
  ) as Record<ExchangePart, number>;
  const share = coreShare(machines, machines.workersPerNode);
  for (const exchange of exchanges) {
    const { count, summed, localMessages } = exchange;
    const sumS = (summed * profile.compute.summedNs * 1e-9) / share;
    const inNode = exchangeS(countsInNode(exchange, machines), profile.exchange);
    const between =
      exchangeS(countsBetweenNodes(exchange, machines), profile.exchange) + linkS(exchange, config, link);
    const what = exchange.phase === 'reduce' ? 'all-reduce' : 'exchange';
    parts[`${what} in node`] += 1000 * count * (inNode + (localMessages > 0 ? sumS : 0));
    parts[`${what} between nodes`] += 1000 * count * (between + (localMessages > 0 ? 0 : sumS));
  }
  return parts;
}

const PROBE_BYTES = 2 ** 26;

/** Returns the seconds per byte that a mean rank sends in an exchange of rows, by destination. */
export function bytePrices(input: PlanInput): { readonly sameNode: number; readonly otherNode: number } {
  const { nodes, workersPerNode } = input.config.cluster;
  const machines = { nodes, workersPerNode, coresPerNode: input.coresPerNode };
  const msOf = (localBytes: number, remoteBytes: number) => {
    const exchange: Exchange = {
      kind: 'all-to-all',
      purpose: 'rows',
      phase: 'forward',
      count: 1,
      localMessages: 1,
      localBytes,
      remoteMessages: 1,
      remoteBytes,
      aggregate: true,
      summed: 0,
    };
    const parts = exchangesMs([exchange], input, machines);
    return parts['exchange in node'] + parts['exchange between nodes'];
  };
  const priceOf = (ms: number) => (ms - msOf(0, 0)) / 1000 / PROBE_BYTES;
  return { sameNode: priceOf(msOf(PROBE_BYTES, 0)), otherNode: priceOf(msOf(0, PROBE_BYTES)) };
}

/** Returns the time on the link of a node: latency, and the bytes sent by all its workers. */
function linkS(exchange: Exchange, { cluster }: RunConfig, link: Link | null): number {
  const messages = messagesOfNode(exchange, cluster);
  if (link === null || messages === 0) return 0;
  return link.latencyS + (cluster.workersPerNode * exchange.remoteBytes) / link.bytesPerS;
}
