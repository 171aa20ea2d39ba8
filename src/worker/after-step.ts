import { existsSync } from 'node:fs';
import { meanLoss, stepFolder } from '@locmoe/run-format';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import type { ValidationBatch } from '../data/batch.js';
import type { Logger } from '../logger.js';
import type { ValidationReport } from '../rpc/generated/messages.js';
import { type BestValidation, bestAfter, metricsOfProgress, progressOfMetrics } from '../run/run-progress.js';
import { CheckpointSaver, type CheckpointSaverOptions } from './checkpoint-saver.js';
import { validationNotFinite } from './not-finite.js';
import type { RouteProbe } from './route-probe.js';
import { SkippedSteps } from './skipped-steps.js';
import { Snapshots } from './snapshots.js';
import { crc32OfShared, tensorsToKeep, tensorsToSave } from './state.js';
import type { StepOutcome, TrainState } from './train-step.js';
import { type ValidationOptions, validate } from './validation.js';

export interface AfterStepOptions extends CheckpointSaverOptions {
  readonly logger: Logger;
}

/** Holds what validations and the probe of routes work on. */
export interface Measured {
  readonly batches: readonly ValidationBatch[];
  readonly options: ValidationOptions;
  /** Null if the run records none. */
  readonly probe: RouteProbe | null;
}

/** Facts about a step after its update. */
interface StepEnd {
  readonly step: number;
  readonly isLast: boolean;
  readonly stopAsked: boolean;
}

/** One rank's part in what is due after steps: validations, probes, checkpoints and snapshots. */
export class AfterStep {
  readonly skipped: SkippedSteps;
  /** Receives the coordinator's commands about a checkpoint that is being saved. */
  readonly saver: CheckpointSaver;
  /** Takes snapshots; is told when the node holds the last snapshot. */
  readonly snapshots: Snapshots;
  /** Training time of earlier generations, in seconds. */
  readonly #secondsBefore: number;
  #begunMs = performance.now();
  #best: BestValidation | null = null;
  /** Step of the last checkpoint that this generation began to save. */
  #lastSaved = 0;
  /** Step of the last validation. */
  #validatedStep = 0;
  #measured: Measured = { batches: [], options: {}, probe: null };

  /** @param checkpoint the one that the generation starts from; null for new weights */
  constructor(
    private readonly options: AfterStepOptions,
    private readonly state: TrainState,
    checkpoint: Checkpoint | null,
  ) {
    const { config, checkpointDir } = options.assignment;
    this.skipped = new SkippedSteps(state, options.logger);
    this.saver = new CheckpointSaver(options);
    this.snapshots = new Snapshots({ ...options, step: checkpoint?.manifest.data.nextStep ?? 0 });
    const { trainingSeconds, best } = progressOfMetrics(checkpoint?.manifest.metrics ?? {});
    this.#secondsBefore = trainingSeconds;
    // A new run that goes on from a checkpoint of another does not have the best one of that run.
    if (config.train.earlyStop !== null && best !== null && existsSync(stepFolder(checkpointDir, best.step)))
      this.#best = best;
  }

  /** Begins the training time. */
  begin(measured: Measured): void {
    this.#measured = measured;
    this.#begunMs = performance.now();
  }

  /** Share of train.maxHours that has passed; 0 without a limit. */
  get timeUsed(): number {
    const { maxHours } = this.options.assignment.config.train;
    return maxHours === null ? 0 : this.#trainingSeconds / (3600 * maxHours);
  }

  /**
   * Validates and saves what is due after a step.
   *
   * @returns whether the run is done
   */
  async record({ step, isLast, stopAsked }: StepEnd): Promise<boolean> {
    const { validateEvery, checkpointEvery, earlyStop } = this.options.assignment.config.train;
    const bestBefore = this.#best;
    // A stop is urgent, so there is no validation before its checkpoint.
    if (isLast || (!stopAsked && step % validateEvery === 0)) {
      const validated = { step, loss: meanLoss(this.validate(step)) };
      if (earlyStop !== null) this.#best = bestAfter(bestBefore, validated, earlyStop.minDelta);
    }
    const isDone = isLast || (earlyStop !== null && (this.#best?.since ?? 0) >= earlyStop.patience);
    if (isDone || (!stopAsked && this.#measured.probe?.isDue(step))) this.recordProbe(step);
    const isBest = this.#best?.step === step;
    if (isDone || stopAsked || isBest || this.skipped.isCheckpointDue(step, checkpointEvery)) {
      const isSaved = await this.#save(step, { isLast: isDone || stopAsked, isBest });
      // The best step must be one whose checkpoint exists.
      if (isBest && !isSaved) this.#best = bestBefore;
    }
    return isDone;
  }

  recordProbe(step: number): void {
    const { transport } = this.options;
    transport.setProgress(step, 'validate');
    transport.spans.begin('probe');
    this.#measured.probe?.record(step);
    transport.spans.end();
  }

  validate(step: number): ValidationReport {
    const { assignment, transport, logger, emit } = this.options;
    transport.setProgress(step, 'validate');
    transport.spans.begin('validation');
    const { batches, options } = this.#measured;
    const domains = validate(this.state.model, transport, batches, assignment.config.data.domains, options);
    transport.spans.end();
    const bad = domains.find(({ loss }) => !Number.isFinite(loss));
    if (bad !== undefined) throw validationNotFinite(this.state, batches, bad);
    const report = { step, domains };
    this.#validatedStep = step;
    if (assignment.topology.rank === 0) {
      emit({ type: 'validation', report });
      logger.info(
        `validated: ${domains.map(({ domain, loss }) => `${domain} ${loss.toFixed(4)}`).join(', ')}`,
      );
    }
    return report;
  }

  /**
   * Saves this step while the next ones run. Waits for the save if the step is the last, or the best so far,
   * of which it must be known whether it was saved.
   *
   * @returns false if the disk had no room for it
   */
  async #save(step: number, { isLast, isBest }: { isLast: boolean; isBest: boolean }): Promise<boolean> {
    const { transport } = this.options;
    transport.setProgress(step, 'checkpoint');
    await this.saver.settle();
    this.#lastSaved = step;
    const keepStep = this.#best?.step ?? -1;
    transport.spans.begin('checkpoint');
    const sharedCrc32 = crc32OfShared(this.state);
    const about = { step, isLast, keepStep, metrics: this.#metrics, sharedCrc32 };
    this.saver.begin(about, tensorsToSave(this.state));
    transport.spans.end();
    return isLast || isBest ? this.saver.settle() : true;
  }

  /** Takes the snapshots that are due, unless the step was skipped. */
  takeSnapshots({ snapshot, report }: StepOutcome): void {
    const { step, skipped } = report;
    const isDue = this.snapshots.agree(snapshot);
    const isLocalDue = this.snapshots.local.agree(step, snapshot.localCost);
    if (skipped) return;
    // A checkpoint that is being written is copied to no other node.
    const takes = isDue && this.#lastSaved !== step;
    // Whoever starts from a local snapshot begins the next step, so the validation must have been reported before.
    const takesLocal = isLocalDue && this.#validatedStep !== step;
    if (!takes && !takesLocal) return;
    const metrics = this.#metrics;
    const { spans } = this.options.transport;
    spans.begin('snapshot');
    if (takesLocal) this.snapshots.local.take(report, () => tensorsToKeep(this.state), metrics);
    if (takes) this.snapshots.take(step, tensorsToKeep(this.state), metrics, report.stepMs);
    spans.end();
  }

  get #metrics(): Record<string, number> {
    const progress = metricsOfProgress({ trainingSeconds: this.#trainingSeconds, best: this.#best });
    return { loss: this.skipped.loss, ...progress };
  }

  get #trainingSeconds(): number {
    return this.#secondsBefore + (performance.now() - this.#begunMs) / 1000;
  }
}
