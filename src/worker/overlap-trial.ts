import { slowestOfRanks } from '../collectives/pick-form.js';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';

/** Steps before, in turn: in a process that still compiles, overlap looks faster than it stays. */
const WARM_UPS = 30;
/** The first of each degree is not timed, as what it takes is compiled then. */
const FIRST = 2;
/** Timed steps of each degree. */
const REPETITIONS = 9;
const OVERLAPPED = 2;
/** Overlap must be faster by this factor: at equal speed fewer, larger products leave cores to others. */
const FASTER = 0.97;
/**
 * With sizes that are multiples of this, a row's bits do not depend on its batch (docs/architecture.md, step
 * 10).
 */
const EVEN_SIZE = 16;

export interface OverlapChoice {
  readonly degree: number;
  /** Median step of the slowest rank, ms. */
  readonly ms: { readonly inTurn: number; readonly overlapped: number };
}

/**
 * Chooses whether to overlap all-to-alls between nodes with experts. It depends on links and cores: overlap
 * splits the experts' work into more and smaller products, and fast links leave little to hide. Once the process
 * is warm, steps alternate between both (adaptive pipelining of Tutel, arXiv 2206.03382, section 3.3); the bits of
 * a step are the same either way.
 */
export class OverlapTrial {
  readonly #ms: number[] = [];

  constructor(private readonly transport: Transport) {}

  /** Whether the configuration leaves the choice to a trial. */
  static isOpen({ cluster, model }: RunConfig): boolean {
    const even = [model.dModel, model.dFeedForward].every((size) => size % EVEN_SIZE === 0);
    return cluster.overlapDegree === 'auto' && cluster.nodes > 1 && !cluster.deduplicate && even;
  }

  /** Overlap degree of the next step. */
  get degree(): number {
    return (this.#ms.length - WARM_UPS) % 2 === 1 ? OVERLAPPED : 1;
  }

  /**
   * Records the time of the step with `degree`. All ranks call it after every step and get the same answer;
   * in the trial's last step it is a collective.
   *
   * @returns null until the trial is over; not to be called again then
   */
  record(stepMs: number): OverlapChoice | null {
    this.#ms.push(stepMs);
    if (this.#ms.length < WARM_UPS + FIRST + 2 * REPETITIONS) return null;
    const timed = this.#ms.slice(WARM_UPS + FIRST);
    const medianOf = (odd: 0 | 1) =>
      timed.filter((_, i) => i % 2 === odd).sort((a, b) => a - b)[REPETITIONS >> 1]!;
    const [inTurn, overlapped] = slowestOfRanks(this.transport, [medianOf(0), medianOf(1)], 'pick overlap');
    return { degree: overlapped < FASTER * inTurn ? OVERLAPPED : 1, ms: { inTurn, overlapped } };
  }
}
