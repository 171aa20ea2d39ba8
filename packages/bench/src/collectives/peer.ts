import { fileURLToPath } from 'node:url';
import { median } from '../statistics.js';
import { busGbPerS, type Collective, type ExchangeCase, type Repetition, warmUpsOf } from './cases.js';
import { type ExchangeRow, type System, spreadOf } from './measurements.js';

/** Folder of the peer programs; the same from src/ and dist/. */
export const PEER_PROGRAMS = fileURLToPath(new URL('../../peers/', import.meta.url));

export interface PeerOptions {
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
  /** Folder for compiled programs and for the rendezvous files of processes. */
  readonly workDir: string;
  readonly signal: AbortSignal;
}

/** Another implementation of the collectives, ready to run. */
export interface Peer {
  readonly version: string;
  /** Name of each system measured, and the layout of ours it is compared with. */
  readonly systems: readonly System[];
  /** Runs all cases as `system` on a number of processes. */
  measure(system: System, numRanks: number, options: PeerOptions): Promise<PeerResult[]>;
}

/** One case as timed by rank 0 of the peer. */
export interface PeerResult {
  readonly collective: Collective;
  readonly bytes: number;
  readonly ms: readonly number[];
  /** Launch setting. */
  readonly setting: string;
}

/** Command-line arguments of a peer program. */
export function programArguments({ cases, repetition }: PeerOptions): string[] {
  const { caseMs, least, most } = repetition;
  return [
    ...[caseMs, least, most].map(String),
    ...cases.map((each) => `${each.collective}:${each.bytes}:${warmUpsOf(each)}`),
  ];
}

/** Parses the output of a peer program: one line of JSON per case. */
export function parseResults(output: string, setting: string): PeerResult[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => ({ ...JSON.parse(line), setting }));
}

/** Returns the result with the smallest median for each case, as a peer is judged at its best. */
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
    collective,
    bytes,
    system,
    numRanks,
    ms,
    setting,
    layout: `${numRanks} ranks`,
    repetitions: result.ms.length,
    busGbPerS: busGbPerS(result, numRanks, ms.median),
    agents: null,
  };
}
