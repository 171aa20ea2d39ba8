import type { Work } from 'locmoe/internal/model/pass-work';
import { MAX_FRAME_PAYLOAD_BYTES } from 'locmoe/internal/rpc/frame-codec';
import type { ComputeProfile, ExchangeProfile } from './profile.js';
import type { Exchange } from './traffic.js';

// The cost model is linear in the coefficients of a profile: a time is a sum of counts times costs.
// Calibration fits the coefficients with the same counts that a prediction uses.

/** Cluster size and the machine profile. */
export interface Machines {
  readonly nodes: number;
  readonly workersPerNode: number;
  /** Cores per node; fractional if nodes share a machine. */
  readonly coresPerNode: number;
}

export function computeS({ flops, touched, operations }: Work, profile: ComputeProfile): number {
  return (
    flops / profile.flopsPerS + touched * profile.touchedNs * 1e-9 + operations * profile.operationUs * 1e-6
  );
}

/** Returns the share of a core for each of `processes` busy processes of a node. */
export function coreShare({ coresPerNode }: Machines, processes: number): number {
  return Math.min(1, coresPerNode / processes);
}

/**
 * Returns the slowdown of running all workers at once, beyond sharing the cores; linear between measured occupancies.
 */
export function slowdownOf({ slowdown }: ComputeProfile, { workersPerNode, coresPerNode }: Machines): number {
  const occupancy = workersPerNode / coresPerNode;
  const above = slowdown.findIndex(({ processesPerCore }) => processesPerCore >= occupancy);
  if (above === 0) return slowdown[0]!.factor;
  if (above < 0) return slowdown[slowdown.length - 1]!.factor;
  const [a, b] = [slowdown[above - 1]!, slowdown[above]!];
  const part = (occupancy - a.processesPerCore) / (b.processesPerCore - a.processesPerCore);
  return a.factor + part * (b.factor - a.factor);
}

/**
 * Counts of each cost of an `ExchangeProfile` in one collective step, by place; shared cores count double.
 */
export type ExchangeCounts = Readonly<Record<keyof ExchangeProfile, number>>;

/** Counts the costs inside a node: a worker writes its messages and reads those of its neighbours. */
export function countsInNode({ localMessages, localBytes }: Exchange, machines: Machines): ExchangeCounts {
  const share = coreShare(machines, machines.workersPerNode);
  return {
    ...NO_COUNTS,
    wakeUs: localMessages > 0 ? 1 : 0,
    messageUs: (2 * localMessages) / share,
    byteNs: (2 * localBytes) / share,
  };
}

/**
 * Counts the costs between nodes: as inside a node, but through the rings of the agent, which sends and
 * receives for all workers of its node.
 */
export function countsBetweenNodes(exchange: Exchange, machines: Machines): ExchangeCounts {
  const { remoteMessages, remoteBytes } = exchange;
  if (remoteMessages === 0) return NO_COUNTS;
  const { workersPerNode } = machines;
  const share = coreShare(machines, workersPerNode);
  const agentShare = coreShare(machines, 1);
  return {
    ...NO_COUNTS,
    hopUs: 1,
    messageUs: 2 * remoteMessages * (1 / share + workersPerNode / agentShare),
    byteNs: (2 * remoteBytes) / share,
    frameUs: (2 * framesOfNode(exchange, machines)) / agentShare,
    streamByteNs: (2 * workersPerNode * remoteBytes) / agentShare,
  };
}

const NO_COUNTS: ExchangeCounts = {
  wakeUs: 0,
  hopUs: 0,
  messageUs: 0,
  frameUs: 0,
  byteNs: 0,
  streamByteNs: 0,
};

/** Counts the frames sent by a node: one per message on the wire, and one more per MiB. */
function framesOfNode({ aggregate, remoteMessages, remoteBytes }: Exchange, machines: Machines): number {
  const messages = aggregate ? machines.nodes - 1 : machines.workersPerNode * remoteMessages;
  return messages + Math.floor((machines.workersPerNode * remoteBytes) / MAX_FRAME_PAYLOAD_BYTES);
}

export function exchangeS(counts: ExchangeCounts, profile: ExchangeProfile): number {
  const names = Object.keys(NO_COUNTS) as (keyof ExchangeProfile)[];
  const sum = (unit: 'Us' | 'Ns') =>
    names.reduce((total, name) => total + (name.endsWith(unit) ? counts[name] * profile[name] : 0), 0);
  return sum('Us') * 1e-6 + sum('Ns') * 1e-9;
}
