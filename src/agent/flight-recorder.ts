import { setTimeout as sleep } from 'node:timers/promises';
import type { RankProgress } from '../collectives/control-block.js';
import type { RecordedOperation } from '../collectives/flight-ring.js';
import type { ErrorCode } from '../errors.js';
import { processInfo } from '../os/process-info.js';
import {
  FLIGHT_FORMAT,
  FLIGHT_VERSION,
  type FlightFile,
  type RankFlight,
  writeFlightFile,
} from '../run/flight-file.js';

/** A slow disk may hold up the end of a run by this much. */
const WRITE_MS = 200;

/** What the recorder reads: the node's segment, and what the agent knows of its workers. */
export interface FlightSource {
  /** By rank. */
  readonly failures: ReadonlyMap<number, ErrorCode>;
  progressOf(localRank: number): RankProgress;
  flightOf(localRank: number): RecordedOperation[];
}

export interface FlightRecorderOptions
  extends Pick<FlightFile, 'runId' | 'generation' | 'node' | 'numNodes' | 'workersPerNode'> {
  readonly directory: string;
  /** The file could not be written. */
  readonly onError: (error: unknown) => void;
}

/** Puts the last operations of a node's ranks into a file when the run ends badly. */
export class FlightRecorder {
  #written: Promise<void> | null = null;

  constructor(readonly options: FlightRecorderOptions) {}

  /** Takes a copy of what the ranks did last, and begins to write it; only the first call does anything. */
  record(source: FlightSource, reason: string): void {
    if (this.#written !== null) return;
    const { directory, onError, ...place } = this.options;
    const file: FlightFile = {
      format: FLIGHT_FORMAT,
      version: FLIGHT_VERSION,
      ...place,
      reason,
      writtenMs: Date.now(),
      ranks: Array.from({ length: place.workersPerNode }, (_, local) => this.#flightOf(source, local)),
    };
    this.#written = writeFlightFile(directory, file).catch(onError);
  }

  #flightOf(source: FlightSource, local: number): RankFlight {
    const { node, workersPerNode } = this.options;
    const { pid, step, phase, operation } = source.progressOf(local);
    const rank = node * workersPerNode + local;
    return {
      rank,
      pid,
      failure: source.failures.get(rank) ?? null,
      processState: processInfo(pid).state,
      step,
      phase,
      waitingFor: operation?.active ? operation.waitingFor : null,
      operations: source.flightOf(local),
    };
  }

  /** Resolves once the file is written, if one is being written, or after 200 ms. */
  async settle(): Promise<void> {
    if (this.#written !== null)
      await Promise.race([this.#written, sleep(WRITE_MS, undefined, { ref: false })]);
  }
}
