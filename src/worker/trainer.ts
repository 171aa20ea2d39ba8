import { existsSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { meanLoss, numStepsOf, stepFolder } from '@locmoe/run-format';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { mergedCheckpoint } from '../checkpoint/merged.js';
import type { Transport } from '../collectives/transport.js';
import type { RunConfig } from '../config/schema.js';
import type { ValidationBatch } from '../data/batch.js';
import { type Dataset, openDataset } from '../data/dataset.js';
import { createLoader } from '../data/loader.js';
import { quotePlaces } from '../data/quote-places.js';
import { asTrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { collectNow } from '../garbage-collection.js';
import type { Logger } from '../logger.js';
import { numParametersOf } from '../model/parameter-counts.js';
import { kernels, usePrecision } from '../ops/kernels/choose-kernels.js';
import { describeSlots, type SlotStatistics } from '../parameters/expert-slots.js';
import type { ValidationReport } from '../rpc/generated/messages.js';
import { type BestValidation, bestAfter, metricsOfProgress, progressOfMetrics } from '../run/run-progress.js';
import { CheckpointSaver } from './checkpoint-saver.js';
import { ChoiceMeter } from './choice-meter.js';
import { OverlapTrial, useFasterForm } from './exchange-trials.js';
import { ExpertForesight } from './expert-foresight.js';
import { homeRanksOfDomain } from './home-ranks.js';
import type { WorkerAssignment, WorkerEvent } from './messages.js';
import { validationNotFinite } from './not-finite.js';
import type { RouteProbe } from './route-probe.js';
import type { ShardWriter } from './shard-writer.js';
import { SkippedSteps } from './skipped-steps.js';
import { Snapshots } from './snapshots.js';
import type { StartClock } from './start-clock.js';
import {
  crc32OfShared,
  createTrainState,
  inheritModel,
  loadModel,
  tensorsToKeep,
  tensorsToSave,
} from './state.js';
import { type StepOutcome, type TrainState, trainStep } from './train-step.js';
import { type ValidationOptions, validate } from './validation.js';

/** Steps between two full garbage collections, without which memory would grow by about 0.3 MB a step. */
const COLLECT_EVERY = 50;

export interface TrainerOptions {
  readonly assignment: WorkerAssignment;
  readonly transport: Transport;
  readonly logger: Logger;
  readonly emit: (event: WorkerEvent) => void;
  readonly clock: StartClock;
  /** The thread that writes checkpoints and snapshots. */
  readonly writer: ShardWriter;
}

/** Facts about a step after its update. */
interface StepEnd {
  readonly isLast: boolean;
  readonly stopAsked: boolean;
  readonly validation: readonly ValidationBatch[];
}

/** Loads the libraries and modules that a rank of such a run needs besides those that this module imports. */
export async function prepare({ train }: RunConfig): Promise<void> {
  usePrecision(train.precision);
  kernels();
  if (train.recordRoutes) await import('./route-recorder.js');
  if (train.probeRoutes) await import('./route-probe.js');
}

/** One rank of a generation: `create`, then `run` once, then `release` where the process goes on. */
export class Trainer {
  /** Number of updates done. */
  #step: number;
  readonly #skipped: SkippedSteps;
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
  #validationOptions: ValidationOptions = {};
  #probe: RouteProbe | null = null;

  private constructor(
    private readonly options: TrainerOptions,
    private readonly state: TrainState,
    private readonly dataset: Dataset,
    checkpoint: Checkpoint | null,
  ) {
    const { config, checkpointDir, generation, topology } = options.assignment;
    this.#skipped = new SkippedSteps(state, options.logger);
    options.writer.begin({ rank: topology.rank, generation }, () => state.expertFile?.release());
    this.saver = new CheckpointSaver(options);
    this.#step = checkpoint?.manifest.data.nextStep ?? 0;
    this.snapshots = new Snapshots({ ...options, step: this.#step });
    const { trainingSeconds, best } = progressOfMetrics(checkpoint?.manifest.metrics ?? {});
    this.#secondsBefore = trainingSeconds;
    // A new run that goes on from a checkpoint of another does not have the best one of that run.
    if (config.train.earlyStop !== null && best !== null && existsSync(stepFolder(checkpointDir, best.step)))
      this.#best = best;
  }

  /** The current step, or the last one done. */
  get step(): number {
    return this.#step;
  }

  /** Opens the data, builds the model and loads the checkpoint, if any. Calls no collective. */
  static create(options: TrainerOptions): Trainer {
    const { assignment, transport, clock } = options;
    usePrecision(assignment.config.train.precision);
    kernels();
    clock.end('kernels');
    const dataset = openDataset(assignment.datasetDir, { verify: assignment.topology.localRank === 0 });
    clock.end('data');
    const checkpoint = assignment.resumeFrom === null ? null : openCheckpoint(assignment.resumeFrom);
    const runDir = path.dirname(assignment.checkpointDir);
    const state = createTrainState(assignment.config, transport, checkpoint, runDir);
    const { initFrom, inheritance } = assignment;
    if (initFrom !== null) {
      const origin = mergedCheckpoint(openCheckpoint(initFrom));
      if (inheritance === null) loadModel(state.model, origin);
      else inheritModel(state.model, origin, inheritance);
    }
    return new Trainer(options, state, dataset, checkpoint);
  }

  /**
   * Trains until the run is done or a stop is requested; saves a checkpoint of the last step either way.
   *
   * @returns true if training stopped before the run was done
   */
  async run(): Promise<boolean> {
    const { assignment, transport, logger, emit, clock } = this.options;
    const { config, topology } = assignment;
    const { train } = config;
    clock.end('peers');
    const loader = createLoader({
      dataset: this.dataset,
      weights: config.data.weights,
      seed: config.seed,
      // Each batch of the loader is one micro-batch; consecutive ones make up a step.
      globalBatch: train.globalBatch / train.microBatches,
      seqLen: config.model.seqLen,
      rank: topology.rank,
      worldSize: topology.worldSize,
      homeRanksOfDomain: homeRanksOfDomain(config, topology),
    });
    const validation = loader.validationBatches(train.validationSequences);
    const source = train.routes === 'router' ? null : await import('./route-source.js');
    const routes = (await source?.openTrainingRoutes(config, transport, loader, validation)) ?? null;
    this.#validationOptions = { changes: routes?.ofValidation };
    const foresight = routes ? null : ExpertForesight.of(this.state.model, loader, train.microBatches);
    // Runs that record nothing do not load the Parquet writer.
    const recorder =
      train.recordRoutes &&
      (await import('./route-recorder.js')).openRecorder(assignment, this.dataset, this.#step, logger);
    if (train.probeRoutes && this.state.model.sparseLayers.length > 0) {
      const { RouteProbe } = await import('./route-probe.js');
      const { dataset, state } = this;
      this.#probe = new RouteProbe(state.model, { ...assignment, dataset, loader, step: this.#step, logger });
    }
    const [choices, numSteps] = [new ChoiceMeter(config), numStepsOf(config)];
    const { description } = kernels();
    logger.info(
      { parameters: numParametersOf(this.state.model.parameterSpecs), kernels: description },
      `training from step ${this.#step + 1} to ${numSteps} with ${description}`,
    );
    this.#begunMs = performance.now();
    try {
      if (config.cluster.exchange === 'auto') useFasterForm(this.state.model, this.options);
      // This validation measures the inherited weights on this text before they are trained on it.
      if (assignment.initFrom !== null) this.#validate(validation);
      if (this.#step === 0) this.#recordProbe();
      let trial = OverlapTrial.of(this.state.model, this.options);
      const firstStep = this.#step + 1;
      clock.end('trials');
      for (const part of clock.parts) transport.spans.past(part, firstStep);
      while (this.#step < numSteps) {
        // One turn of the event loop per step, to send reports and notice a lost node agent.
        await nextTurn();
        this.saver.check();
        this.#step++;
        failpoint('step.begun');
        trial?.beforeStep();
        const first = (this.#step - 1) * train.microBatches;
        const microBatches = Array.from({ length: train.microBatches }, (_, i) => first + i);
        const batches = microBatches.map(loader.batchForStep);
        // Rank 0's clock is the clock of all ranks.
        const timeUsed = topology.rank === 0 ? this.#timeUsed : 0;
        const outcome = trainStep(this.state, {
          step: this.#step,
          batches,
          wishes: { timeUsed, snapshot: this.snapshots.vote(this.#step) },
          fetch: foresight && (() => foresight.beforeStep(this.#step)),
          changes: await routes?.changesOf(this.#step, microBatches, batches),
          choices,
          inspectorOf: recorder?.begin(this.#step, batches, microBatches.map(loader.placesForStep)),
          beforeUpdate: () => this.snapshots.settle(transport),
        });
        if (this.#step === firstStep) clock.end('first');
        const startMs = this.#step === firstStep ? clock.partsMs : {};
        const { report, stopAsked } = outcome;
        recorder?.end(outcome.sent);
        logger.debug({ loss: report.loss, stepMs: report.stepMs, experts: this.#slotStatistics }, 'step');
        emit({ type: 'step', report: { ...report, startMs } });
        const quote = () =>
          quotePlaces(this.dataset, config.data.endOfText, microBatches.flatMap(loader.placesForStep));
        this.#skipped.add(outcome, { batches, quote });
        if (trial?.afterStep(report.stepMs)) trial = null;
        if (this.#step % COLLECT_EVERY === 0) collectNow();
        const isLast = this.#step === numSteps || outcome.isTimeUp;
        if (await this.#record(this.#skipped.loss, { isLast, stopAsked, validation })) break;
        if (stopAsked) return true;
        this.#takeSnapshots(outcome);
      }
      transport.setProgress(this.#step, 'done');
      return false;
    } catch (error) {
      throw asTrainerError(error, { rank: topology.rank, node: topology.node, step: this.#step });
    } finally {
      this.snapshots.local.close();
      const experts = this.#slotStatistics;
      if (experts !== undefined) logger.info({ experts }, describeSlots(experts));
    }
  }

  /** Frees the files and tensors of the generation once the thread no longer reads them. */
  async release(): Promise<void> {
    await this.options.writer.end();
    this.dataset.close();
    this.state.model.dispose();
  }

  /** Statistics of experts in a file so far; undefined if experts are not in a file. */
  get #slotStatistics(): SlotStatistics | undefined {
    const { slots } = this.state.model.parameters;
    return slots?.isStored ? slots.statistics : undefined;
  }

  /** Takes the snapshots that are due, unless the step was skipped. */
  #takeSnapshots({ snapshot, report }: StepOutcome): void {
    const { step, skipped } = report;
    const isDue = this.snapshots.agree(snapshot);
    const isLocalDue = this.snapshots.local.agree(step, snapshot.localCost);
    if (skipped) return;
    // A checkpoint that is being written is copied to no other node.
    const takes = isDue && this.#lastSaved !== step;
    // Whoever starts from a local snapshot begins the next step, so the validation must have been reported before.
    const takesLocal = isLocalDue && this.#validatedStep !== step;
    if (!takes && !takesLocal) return;
    const metrics = this.#metrics(this.#skipped.loss);
    const { spans } = this.options.transport;
    spans.begin('snapshot');
    if (takesLocal) this.snapshots.local.take(report, () => tensorsToKeep(this.state), metrics);
    if (takes) this.snapshots.take(step, tensorsToKeep(this.state), metrics, report.stepMs);
    spans.end();
  }

  #metrics(loss: number): Record<string, number> {
    return { loss, ...metricsOfProgress({ trainingSeconds: this.#trainingSeconds, best: this.#best }) };
  }

  get #trainingSeconds(): number {
    return this.#secondsBefore + (performance.now() - this.#begunMs) / 1000;
  }

  /** Share of train.maxHours that has passed; 0 without a limit. */
  get #timeUsed(): number {
    const { maxHours } = this.options.assignment.config.train;
    return maxHours === null ? 0 : this.#trainingSeconds / (3600 * maxHours);
  }

  /**
   * Validates and saves what is due after a step.
   *
   * @returns whether the run is done
   */
  async #record(loss: number, { isLast, stopAsked, validation }: StepEnd): Promise<boolean> {
    const { validateEvery, checkpointEvery, earlyStop } = this.options.assignment.config.train;
    const bestBefore = this.#best;
    // A stop is urgent, so there is no validation before its checkpoint.
    if (isLast || (!stopAsked && this.#step % validateEvery === 0)) {
      const validated = { step: this.#step, loss: meanLoss(this.#validate(validation)) };
      if (earlyStop !== null) this.#best = bestAfter(bestBefore, validated, earlyStop.minDelta);
    }
    const isDone = isLast || (earlyStop !== null && (this.#best?.since ?? 0) >= earlyStop.patience);
    if (isDone || (!stopAsked && this.#probe?.isDue(this.#step))) this.#recordProbe();
    const isBest = this.#best?.step === this.#step;
    if (isDone || stopAsked || isBest || this.#skipped.isCheckpointDue(this.#step, checkpointEvery)) {
      const isSaved = await this.#save(loss, { isLast: isDone || stopAsked, isBest });
      // The best step must be one whose checkpoint exists.
      if (isBest && !isSaved) this.#best = bestBefore;
    }
    return isDone;
  }

  #recordProbe(): void {
    const { transport } = this.options;
    transport.setProgress(this.#step, 'validate');
    transport.spans.begin('probe');
    this.#probe?.record(this.#step);
    transport.spans.end();
  }

  #validate(batches: readonly ValidationBatch[]): ValidationReport {
    const { assignment, transport, logger, emit } = this.options;
    transport.setProgress(this.#step, 'validate');
    transport.spans.begin('validation');
    const options = this.#validationOptions;
    const domains = validate(this.state.model, transport, batches, assignment.config.data.domains, options);
    transport.spans.end();
    const bad = domains.find(({ loss }) => !Number.isFinite(loss));
    if (bad !== undefined) throw validationNotFinite(this.state, batches, bad);
    const report = { step: this.#step, domains };
    this.#validatedStep = this.#step;
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
  async #save(loss: number, { isLast, isBest }: { isLast: boolean; isBest: boolean }): Promise<boolean> {
    const { transport } = this.options;
    transport.setProgress(this.#step, 'checkpoint');
    await this.saver.settle();
    this.#lastSaved = this.#step;
    const keepStep = this.#best?.step ?? -1;
    transport.spans.begin('checkpoint');
    const sharedCrc32 = crc32OfShared(this.state);
    const about = { step: this.#step, isLast, keepStep, metrics: this.#metrics(loss), sharedCrc32 };
    this.saver.begin(about, tensorsToSave(this.state));
    transport.spans.end();
    return isLast || isBest ? this.saver.settle() : true;
  }
}
