import { pickForm, slowestOfRanks } from '../collectives/pick-form.js';
import type { Transport } from '../collectives/transport.js';
import { expertWidthOf } from '../config/schema.js';
import { rowBytesOf } from '../config/wire-precision.js';
import type { Logger } from '../logger.js';
import type { LanguageModel } from '../model/language-model.js';
import type { WorkerAssignment } from './messages.js';

export interface TrialOptions {
  readonly assignment: Pick<WorkerAssignment, 'config' | 'topology'>;
  readonly transport: Transport;
  readonly logger: Pick<Logger, 'info'>;
}

/** Times both forms of the all-to-all with the bytes per pair of ranks under balanced routing, and uses the faster. */
export function useFasterForm(model: LanguageModel, { assignment, transport, logger }: TrialOptions): void {
  const { config, topology } = assignment;
  const { worldSize, numNodes, rank } = topology;
  if (numNodes === 1) return;
  const { train, moe } = config;
  const tokens = (train.globalBatch * config.model.seqLen) / (worldSize * train.microBatches);
  const rows = Math.ceil((tokens * (moe.capacityFactor ?? 1)) / worldSize);
  const bytes = rows * rowBytesOf(config);
  const { form, ms } = pickForm(transport, bytes);
  model.communicator.form = form;
  if (rank !== 0) return;
  const [hierarchical, flat] = [ms.hierarchical, ms.flat].map((each) => each.toFixed(2));
  logger.info(
    { exchange: form, bytesPerPair: bytes, ms },
    `exchange between nodes: ${form}; ${bytes} bytes for each other rank took ${hierarchical} ms ` +
      `hierarchical, ${flat} ms flat`,
  );
}

/** Steps before the trial, without overlap: in a process that still compiles, overlap looks faster than it stays. */
const WARM_UPS = 30;
/** Untimed steps after the warm-up, one of each degree, in which the code that they need is compiled. */
const FIRST = 2;
/** Timed steps of each degree. */
const REPETITIONS = 9;
const OVERLAPPED = 2;
/** Overlap must be faster by this factor: at equal speed, fewer, larger products leave more cores free. */
const FASTER = 0.97;
/** With sizes that are multiples of this, a row's bits do not depend on its batch (docs/architecture.md, step 10). */
const EVEN_SIZE = 16;

/**
 * Chooses whether to overlap all-to-alls between nodes with experts. The better choice depends on links and cores:
 * overlap splits the experts' work into more and smaller products, and fast links leave little to hide. Once the
 * process is warm, training steps alternate between both (adaptive pipelining of Tutel, arXiv 2206.03382, section 3.3);
 * the bits of a step are the same either way.
 */
export class OverlapTrial {
  readonly #ms: number[] = [];

  private constructor(
    private readonly model: Pick<LanguageModel, 'useOverlap'>,
    private readonly options: TrialOptions,
  ) {}

  /** Creates the trial; returns null if the configuration leaves nothing to choose. */
  static of(model: Pick<LanguageModel, 'useOverlap'>, options: TrialOptions): OverlapTrial | null {
    const { config } = options.assignment;
    const { cluster } = config;
    const even = [config.model.dModel, expertWidthOf(config)].every((size) => size % EVEN_SIZE === 0);
    const isOpen = cluster.overlapDegree === 'auto' && cluster.nodes > 1 && !cluster.deduplicate && even;
    return isOpen ? new OverlapTrial(model, options) : null;
  }

  /** Sets the overlap degree of the next step. */
  beforeStep(): void {
    this.model.useOverlap((this.#ms.length - WARM_UPS) % 2 === 1 ? OVERLAPPED : 1);
  }

  /**
   * Records the time of the step. All ranks call it after every step; in the trial's last step the call is a collective.
   *
   * @returns true if the trial is over: the faster degree is used from now on
   */
  afterStep(stepMs: number): boolean {
    this.#ms.push(stepMs);
    if (this.#ms.length < WARM_UPS + FIRST + 2 * REPETITIONS) return false;
    const timed = this.#ms.slice(WARM_UPS + FIRST);
    const medianOf = (odd: 0 | 1) =>
      timed.filter((_, i) => i % 2 === odd).sort((a, b) => a - b)[REPETITIONS >> 1]!;
    const { transport, assignment, logger } = this.options;
    const [inTurn, overlapped] = slowestOfRanks(transport, [medianOf(0), medianOf(1)], 'pick overlap');
    const degree = overlapped < FASTER * inTurn ? OVERLAPPED : 1;
    this.model.useOverlap(degree);
    if (assignment.topology.rank === 0)
      logger.info(
        { overlapDegree: degree, ms: { inTurn, overlapped } },
        `exchanges between nodes ${degree === 1 ? 'are not' : 'are'} overlapped with experts: a step took ` +
          `${inTurn.toFixed(1)} ms without, ${overlapped.toFixed(1)} ms with it`,
      );
    return true;
  }
}
