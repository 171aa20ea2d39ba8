import { setTimeout as sleep } from 'node:timers/promises';
import type { RankProgress } from '../collectives/control-block.js';
import type { FlightRing } from '../collectives/flight-ring.js';
import { operationsOf } from '../collectives/flight-span.js';
import { GRACE } from '../config/timeouts.js';
import type { ErrorCode } from '../errors.js';
import { processInfo } from '../os/process-info.js';
import {
  FLIGHT_FORMAT,
  FLIGHT_VERSION,
  type FlightFile,
  type RankFlight,
  writeFlightFile,
} from '../run/flight-file.js';

/** Operations of a rank in the file. */
const NUM_OPERATIONS = 256;

/** What the recorder reads of the node's segment. */
export interface FlightSource {
  progressOf(localRank: number): RankProgress;
  flightOf(localRank: number): Pick<FlightRing, 'read'>;
}

/** By rank: error codes of those that have failed, and stacks of those that are stuck. */
export interface KnownOfRanks {
  readonly failures: ReadonlyMap<number, ErrorCode>;
  readonly stacks: ReadonlyMap<number, readonly string[]>;
  /** Why the file is written. */
  readonly reason: string;
}

export interface FlightRecorderOptions
  extends Pick<FlightFile, 'runId' | 'generation' | 'node' | 'numNodes' | 'workersPerNode'> {
  readonly directory: string;
  /** Called if the file cannot be written. */
  readonly onError: (error: unknown) => void;
}

/** Writes the last operations of a node's ranks to a file when the run fails. */
export class FlightRecorder {
  readonly #options: FlightRecorderOptions;
  #written: Promise<void> | null = null;

  constructor(options: FlightRecorderOptions) {
    this.#options = options;
  }

  /**
   * Copies the ranks' last operations and starts to write them. Only the first call has an effect.
   *
   * @param known what is known of the ranks so far
   */
  record(source: FlightSource, known: KnownOfRanks): void {
    if (this.#written !== null) return;
    const { directory, onError, ...place } = this.#options;
    const { node, workersPerNode } = place;
    const file: FlightFile = {
      format: FLIGHT_FORMAT,
      version: FLIGHT_VERSION,
      ...place,
      reason: known.reason,
      writtenMs: Date.now(),
      ranks: Array.from({ length: workersPerNode }, (_, local) => {
        const rank = node * workersPerNode + local;
        return flightOf(source, local, rank, known);
      }),
    };
    this.#written = writeFlightFile(directory, file).catch(onError);
  }

  /** Resolves once the file, if any, is written, or after 200 ms. */
  async settle(): Promise<void> {
    if (this.#written !== null)
      await Promise.race([this.#written, sleep(GRACE.flightMs, undefined, { ref: false })]);
  }
}

function flightOf(
  source: FlightSource,
  local: number,
  rank: number,
  { failures, stacks }: KnownOfRanks,
): RankFlight {
  const { pid, step, phase, operation } = source.progressOf(local);
  const stack = stacks.get(rank);
  return {
    rank,
    pid,
    failure: failures.get(rank) ?? null,
    processState: processInfo(pid).state,
    step,
    phase,
    waitingFor: operation?.active ? operation.waitingFor : null,
    operations: operationsOf(source.flightOf(local).read()).slice(-NUM_OPERATIONS),
    ...(stack === undefined ? {} : { stack }),
  };
}
