import { quantile } from '../statistics.js';
import type { ExchangeCase } from './cases.js';

/** Of repeated measurements. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), p10: quantile(values, 0.1), p90: quantile(values, 0.9) };
}

export const SYSTEMS = ['locmoe', 'OpenMPI, shared memory', 'OpenMPI, TCP', 'Gloo'] as const;
export type System = (typeof SYSTEMS)[number];

/** What the node agents took for one case, all nodes together. */
export interface AgentCost {
  /** User and system time while the case was repeated. */
  readonly cpuS: number;
  /** Bytes that the ranks sent to other nodes meanwhile. */
  readonly bytesOtherNode: number;
  /** Most resident memory of the agents since their start, without the shared segment. */
  readonly peakBytes: number;
  /** The same before the first exchange. */
  readonly startBytes: number;
  /** The shared segments of all nodes. */
  readonly segmentBytes: number;
}

/** One case of one system. */
export interface ExchangeRow extends ExchangeCase {
  readonly system: System;
  /** Nodes x workers for us, `4 ranks` for a peer. */
  readonly layout: string;
  readonly numRanks: number;
  /** Milliseconds of a repetition, as rank 0 sees it. */
  readonly ms: Spread;
  readonly repetitions: number;
  readonly busGbPerS: number;
  /** How a peer was started: the fastest of the ways that were tried. */
  readonly setting: string | null;
  /** Null for a peer. */
  readonly agents: AgentCost | null;
}

/** Speed of one stream between two processes, or of copying in one, in MB/s. */
export interface StreamRow {
  readonly what: StreamName;
  readonly mbPerS: Spread;
  readonly repetitions: number;
}

export const STREAMS = ['memcpy', 'tcp', 'http2-4', 'http2-16', 'grpc'] as const;
export type StreamName = (typeof STREAMS)[number];

/** Forward and backward of one sparse layer. */
export interface OverlapRow {
  readonly what: string;
  readonly ms: Spread;
  /** Speed of the link between nodes in Gb/s. */
  readonly gbps: number;
}

/** All that was measured. */
export interface Measurements {
  readonly exchanges: readonly ExchangeRow[];
  /** Flat and hierarchical all-to-all over the slow link. */
  readonly hierarchy: readonly ExchangeRow[];
  readonly streams: readonly StreamRow[];
  /** A sparse layer: the experts alone, one after the other, then by degree of overlap. */
  readonly overlap: readonly OverlapRow[];
  /** What is missing, and how peers were set up; a line each. */
  readonly notes: readonly string[];
}
