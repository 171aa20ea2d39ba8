import { setTimeout as sleep } from 'node:timers/promises';
import { type FlightFile, operationsOf, type RankFlight, writeFlightFile } from '@locmoe/run-format';
import type { RankProgress } from '../collectives/control-block.js';
import type { FlightRing } from '../collectives/flight-ring.js';
import { GRACE } from '../config/timeouts.js';
import type { ErrorCode } from '../errors.js';
import { processInfo } from '../os/process-info.js';

/** Number of operations of each rank in the file. */
const NUM_OPERATIONS = 256;

/** Part of the node's segment that the recorder reads. */
export interface FlightSource {
  progressOf(localRank: number): RankProgress;
  flightOf(localRank: number): Pick<FlightRing, 'read'>;
}

/** Run, generation and place of a node. */
export type FlightPlace = Pick<FlightFile, 'runId' | 'generation' | 'node' | 'numNodes' | 'workersPerNode'>;

/** Writes the last operations of a node's ranks to a file when the run fails. */
export class FlightRecorder {
  readonly #stacks = new Map<number, readonly string[]>();
  #file: FlightFile | null = null;
  #written: Promise<void> = Promise.resolve();

  /** @param onError called if the file cannot be written */
  constructor(
    private readonly place: FlightPlace,
    private readonly directory: string,
    private readonly onError: (error: unknown) => void,
  ) {}

  /**
   * Copies the ranks' last operations and starts to write them. Only the first call has an effect.
   *
   * @param failures error codes of the failed ranks
   */
  record(source: FlightSource, failures: ReadonlyMap<number, ErrorCode>, reason: string): void {
    if (this.#file !== null) return;
    const { node, workersPerNode } = this.place;
    const ranks = Array.from({ length: workersPerNode }, (_, local) => {
      const rank = node * workersPerNode + local;
      return flightOf(source, local, rank, failures.get(rank) ?? null);
    });
    this.#file = { ...this.place, reason, writtenMs: Date.now(), ranks };
    this.#write(this.#file);
  }

  /**
   * Adds the stack of a stuck rank, and writes the file again if it was already written.
   *
   * @param stack innermost frame first
   */
  addStack(rank: number, stack: readonly string[]): void {
    this.#stacks.set(rank, stack);
    if (this.#file !== null) this.#write(this.#file);
  }

  #write(file: FlightFile): void {
    const ranks = file.ranks.map((flight) => {
      const stack = this.#stacks.get(flight.rank);
      return stack === undefined ? flight : { ...flight, stack };
    });
    this.#written = this.#written
      .then(() => writeFlightFile(this.directory, { ...file, ranks }))
      .catch(this.onError);
  }

  /** Resolves once the file, if any, is written, or after 200 ms. */
  async settle(): Promise<void> {
    await Promise.race([this.#written, sleep(GRACE.flightMs, undefined, { ref: false })]);
  }
}

function flightOf(source: FlightSource, local: number, rank: number, failure: ErrorCode | null): RankFlight {
  const { pid, step, phase, operation } = source.progressOf(local);
  return {
    rank,
    pid,
    failure,
    processState: processInfo(pid).state,
    step,
    phase,
    waitingFor: operation?.active ? operation.waitingFor : null,
    operations: operationsOf(source.flightOf(local).read()).slice(-NUM_OPERATIONS),
  };
}
