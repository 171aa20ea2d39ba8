import { quantile } from '../statistics.js';
import type { ExchangeCase } from './cases.js';

/** Quantiles over repetitions. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** Minimum duration of a sample in ms. */
const SAMPLE_MS = 1;

/**
 * Averages consecutive durations into samples of at least `SAMPLE_MS`. Buffers let ranks run ahead of each
 * other, so that a short repetition is followed by a long one, and neither is the cost of an exchange.
 */
export function sampled(ms: readonly number[]): number[] {
  const samples: number[] = [];
  let [sum, count] = [0, 0];
  for (const each of ms) {
    sum += each;
    count++;
    if (sum < SAMPLE_MS) continue;
    samples.push(sum / count);
    [sum, count] = [0, 0];
  }
  return samples.length === 0 ? [sum / count] : samples;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), p10: quantile(values, 0.1), p90: quantile(values, 0.9) };
}

export const SYSTEMS = ['locmoe', 'OpenMPI, shared memory', 'OpenMPI, TCP', 'Gloo'] as const;
export type System = (typeof SYSTEMS)[number];

export interface AgentCost {
  /**
   * User and system CPU seconds for each GB that ranks sent to other nodes; null if they sent nothing there.
   */
  readonly cpuSPerGb: number | null;
  /** Peak private resident memory of the agents. */
  readonly peakBytes: number;
  /** Peak private resident memory of the agents before the first exchange. */
  readonly startBytes: number;
  /** Size of the shared segments of all nodes. */
  readonly segmentBytes: number;
}

export interface ExchangeRow extends ExchangeCase {
  readonly system: System;
  /** Nodes x workers for ours, `4 ranks` for a peer. */
  readonly layout: string;
  readonly numRanks: number;
  /** Duration of a repetition in ms on rank 0; each sample is a mean. */
  readonly ms: Spread;
  readonly repetitions: number;
  readonly busGbPerS: number;
  /** The fastest of the launch settings that were tried. */
  readonly setting: string | null;
  /** Cost of the node agents; null for a peer. */
  readonly agents: AgentCost | null;
}

/** Throughput of one stream between two processes, or of a memory copy in one, in MB/s. */
export interface StreamRow {
  readonly what: StreamName;
  readonly mbPerS: Spread;
  readonly repetitions: number;
}

export const STREAMS = ['memcpy', 'tcp', 'tcp-onread', 'http2-4', 'http2-16', 'grpc', 'grpc-tls'] as const;
export type StreamName = (typeof STREAMS)[number];

/** Forward and backward pass of one sparse layer. */
export interface OverlapRow {
  readonly what: string;
  readonly ms: Spread;
  /** Link between nodes in Gb/s. */
  readonly gbps: number;
}

export interface Measurements {
  readonly exchanges: readonly ExchangeRow[];
  /** Flat and hierarchical all-to-all over the slow link. */
  readonly hierarchy: readonly ExchangeRow[];
  readonly streams: readonly StreamRow[];
  /** A sparse layer: experts alone, sequential, then by degree of overlap. */
  readonly overlap: readonly OverlapRow[];
  /** Missing measurements and the setup of peers, one line each. */
  readonly notes: readonly string[];
}

export const STREAM_LABELS: Readonly<Record<StreamName, string>> = {
  memcpy: 'copying in one process (memcpy)',
  tcp: 'raw TCP socket',
  'tcp-onread': 'raw TCP socket that reads into one buffer (onread)',
  'http2-4': 'raw node:http2, window 4 MiB as ours',
  'http2-16': 'raw node:http2, window 16 MiB',
  grpc: 'ours: gRPC pull stream of two agents',
  'grpc-tls': 'ours over mutual TLS',
};

/** Formats sizes with binary units: 16 KiB, 4 MiB. */
export function formatSize(bytes: number): string {
  return bytes >= 1 << 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`;
}

export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Formats the median, with the 10th and 90th percentile in brackets. */
export function withSpread({ median, p10, p90 }: Spread): string {
  return `${digits(median)} (${digits(p10)} to ${digits(p90)})`;
}
