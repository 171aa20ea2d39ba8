import { slowestOfRanks } from '../collectives/pick-form.js';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';

/** Left out: the first steps of a process compile. */
const WARM_UPS = 2;
/** Steps of each degree. */
const REPETITIONS = 5;
const OVERLAPPED = 2;
/** Where both take the same time, larger pieces of work are the better choice: they leave cores to others. */
const FASTER = 0.97;
/** Experts give a row the same bits whatever rows are beside it if sizes are multiples of this (docs/architecture.md, step 10). */
const EVEN_SIZE = 16;

export interface OverlapChoice {
  readonly degree: number;
  /** Median step of the slowest rank, ms. */
  readonly ms: { readonly inTurn: number; readonly overlapped: number };
}

/**
 * Whether overlapping the exchanges between nodes with experts pays depends on links and cores: experts work on more and
 * smaller pieces for it, and where links are fast there is little to hide. The first steps try both in turns (as Tutel does,
 * arXiv 2206.03382, section 3.3); the result of a step does not depend on it.
 */
export class OverlapTrial {
  readonly #transport: Transport;
  readonly #ms: number[] = [];

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Whether there is anything to find out. */
  static isOpen({ cluster, model }: RunConfig): boolean {
    const even = [model.dModel, model.dFeedForward].every((size) => size % EVEN_SIZE === 0);
    return cluster.overlapDegree === 'auto' && cluster.nodes > 1 && !cluster.deduplicate && even;
  }

  /** For the next step. */
  get degree(): number {
    return this.#ms.length % 2 === 1 ? OVERLAPPED : 1;
  }

  /**
   * Takes down what the step with `degree` took. A collective in the last step of the trial: all ranks call it after every
   * step and get the same answer.
   *
   * @returns null until the trial is over; do not call it again then
   */
  record(stepMs: number): OverlapChoice | null {
    this.#ms.push(stepMs);
    if (this.#ms.length < WARM_UPS + 2 * REPETITIONS) return null;
    const medianOf = (odd: 0 | 1) =>
      this.#ms.filter((_, i) => i >= WARM_UPS && i % 2 === odd).sort((a, b) => a - b)[REPETITIONS >> 1];
    const [inTurn, overlapped] = slowestOfRanks(this.#transport, [medianOf(0), medianOf(1)], 'pick overlap');
    const ms = { inTurn, overlapped };
    return { degree: ms.overlapped < FASTER * ms.inTurn ? OVERLAPPED : 1, ms };
  }
}
