import type { Batch } from '../data/batch.js';
import { TrainerError } from '../errors.js';
import { formatNumberOf } from '../format.js';
import type { Logger } from '../logger.js';
import { MAX_SKIPPED_STEPS } from '../run/not-finite.js';
import { explainNotFinite, NOT_FINITE_REMEDY } from './not-finite.js';
import type { StepOutcome, TrainState } from './train-step.js';

/** Input of a rank in a step. */
export interface StepInput {
  readonly batches: readonly Batch[];
  /** Quotes the text of the batches, so that a person can find it. */
  readonly quote: () => string;
}

/** Watches the steps of a rank: warns of each skipped step, and ends the generation after too many. */
export class SkippedSteps {
  /** Number of consecutive skipped steps up to the last step, and up to the step before it. */
  #inARow = 0;
  #inARowBefore = 0;
  /** Loss of this rank in the last step that was applied; 0 before the first. */
  loss = 0;

  constructor(
    private readonly state: TrainState,
    private readonly logger: Pick<Logger, 'info' | 'warn'>,
  ) {}

  /**
   * Takes note of a step; every rank calls it after each step.
   *
   * @throws TrainerError after MAX_SKIPPED_STEPS consecutive skipped steps: `NOT_FINITE` with an account of
   *   what was not finite on the rank to blame, `ABORTED` on the others
   */
  add({ report: { step, skipped, loss }, found }: StepOutcome, input: StepInput): void {
    this.#inARowBefore = this.#inARow;
    this.#inARow = skipped ? this.#inARow + 1 : 0;
    if (!skipped) {
      this.loss = loss;
      return;
    }
    // All ranks have the same facts, so one warning is enough.
    if (this.state.transport.topology.rank === 0) this.#warn(step, found);
    if (this.#inARow === MAX_SKIPPED_STEPS) throw this.#tooMany(step, found.loss, input);
  }

  #warn(step: number, { norm, numBadLosses }: StepOutcome['found']): void {
    const { worldSize } = this.state.transport.topology;
    const what =
      numBadLosses > 0
        ? `the loss is not finite on ${numBadLosses} of ${formatNumberOf(worldSize, 'rank')}`
        : `the gradient norm is ${norm}`;
    this.logger.warn(
      { step, norm, numBadLosses },
      `step ${step} is skipped: ${what} (${this.#inARow} in a row; ${MAX_SKIPPED_STEPS} end the generation)`,
    );
  }

  #tooMany(step: number, loss: number, { batches, quote }: StepInput): TrainerError {
    const { text, layer } = explainNotFinite(this.state, batches, loss);
    // Many lines of text would hide the rest of the message wherever it is shown.
    this.logger.info({ step }, `batch of step ${step}: ${quote()}`);
    return new TrainerError(
      'NOT_FINITE',
      `steps ${step - MAX_SKIPPED_STEPS + 1} to ${step} were not finite: ${NOT_FINITE_REMEDY}; the first bad tensor ` +
        `is ${text}; the text of this rank's batch is in its log`,
      { layer, operation: 'gradient norm' },
    );
  }

  /**
   * Returns whether a checkpoint is due after the last step, with one every `every` steps. No checkpoint is saved after a skipped
   * step: its weights may be the cause, and it would displace an older checkpoint. The next applied step is due instead.
   */
  isCheckpointDue(step: number, every: number): boolean {
    return this.#inARow === 0 && step % every <= this.#inARowBefore;
  }
}
