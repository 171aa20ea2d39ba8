import { fileURLToPath } from 'node:url';
import { median } from '../statistics.js';
import { busGbPerS, type Collective, type ExchangeCase, type Repetition, warmUpsOf } from './cases.js';
import { type ExchangeRow, type System, spreadOf } from './measurements.js';

/** Folder of the peers' programs; beside src/ as beside dist/. */
export const PEER_PROGRAMS = fileURLToPath(new URL('../../peers/', import.meta.url));

export interface PeerOptions {
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
  /** For what is compiled and for files by which processes find each other. */
  readonly workDir: string;
  readonly signal: AbortSignal;
}

/** Another implementation of the collectives, ready to be run. */
export interface Peer {
  readonly version: string;
  /** What it is measured as, and against which of our layouts. */
  readonly systems: readonly System[];
  /** Runs all cases as `system` on a number of processes. */
  measure(system: System, numRanks: number, options: PeerOptions): Promise<PeerResult[]>;
}

/** One case as a peer has timed it on its rank 0. */
export interface PeerResult {
  readonly collective: Collective;
  readonly bytes: number;
  readonly ms: readonly number[];
  /** How it was started. */
  readonly setting: string;
}

/** The arguments that tell the program of a peer what to do. */
export function programArguments({ cases, repetition }: PeerOptions): string[] {
  const { caseMs, least, most } = repetition;
  return [
    ...[caseMs, least, most].map(String),
    ...cases.map((each) => `${each.collective}:${each.bytes}:${warmUpsOf(each)}`),
  ];
}

/** Reads what the program of a peer has printed: a line of JSON for each case. */
export function parseResults(output: string, setting: string): PeerResult[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => ({ ...JSON.parse(line), setting }));
}

/** Of several results of each case the one with the least median: a peer is judged by the best that it can do. */
export function bestResults(results: readonly PeerResult[]): PeerResult[] {
  const best = new Map<string, PeerResult>();
  for (const result of results) {
    const key = `${result.collective}/${result.bytes}`;
    const known = best.get(key);
    if (known === undefined || median(result.ms) < median(known.ms)) best.set(key, result);
  }
  return [...best.values()];
}

export function peerRow(system: System, numRanks: number, result: PeerResult): ExchangeRow {
  const { collective, bytes, setting } = result;
  const ms = spreadOf(result.ms);
  return {
    ...{ collective, bytes, system, numRanks, ms, setting },
    layout: `${numRanks} ranks`,
    repetitions: result.ms.length,
    busGbPerS: busGbPerS(result, numRanks, ms.median),
    agents: null,
  };
}
