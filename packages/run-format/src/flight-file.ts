import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ErrorCode } from './errors.js';
import type { RecordedOperation } from './flight-span.js';
import type { Phase } from './operations.js';

export const FLIGHT_FORMAT = 'locmoe-flight';
export const FLIGHT_VERSION = 1;

/** A rank at the time its node's file was written. */
export interface RankFlight {
  readonly rank: number;
  readonly pid: number;
  /** The error that the rank had reported or met by then; null if none. */
  readonly failure: ErrorCode | null;
  /** Letter of /proc/PID/stat: R, S, D, T (stopped), Z; X once it is gone. */
  readonly processState: string;
  readonly step: number;
  readonly phase: Phase;
  /** The rank whose bytes it last waited for; null if it is in no operation. */
  readonly waitingFor: number | null;
  /** Its last operations, oldest first. */
  readonly operations: readonly RecordedOperation[];
  /** Where a stuck rank was, innermost first; empty if it ran no JavaScript, absent if it was not stuck. */
  readonly stack?: readonly string[] | undefined;
}

/** The last operations of a node's ranks, written by its agent when the run fails. */
export interface FlightFile {
  readonly format: typeof FLIGHT_FORMAT;
  readonly version: typeof FLIGHT_VERSION;
  readonly runId: string;
  readonly generation: number;
  readonly node: number;
  readonly numNodes: number;
  readonly workersPerNode: number;
  /** Why it was written. */
  readonly reason: string;
  /** ms since 1970, by the node's clock. */
  readonly writtenMs: number;
  readonly ranks: readonly RankFlight[];
}

function flightFileName({ generation, node }: Pick<FlightFile, 'generation' | 'node'>): string {
  return `generation-${generation}-node-${node}.json`;
}

/**
 * Writes the file into `directory`, created if missing. It is renamed into place, so a reader finds all or
 * nothing.
 */
export async function writeFlightFile(directory: string, file: FlightFile): Promise<void> {
  const target = path.join(directory, flightFileName(file));
  await mkdir(directory, { recursive: true });
  try {
    await writeFile(`${target}.tmp`, JSON.stringify(file));
    await rename(`${target}.tmp`, target);
  } catch (error) {
    await rm(`${target}.tmp`, { force: true });
    throw error;
  }
}
