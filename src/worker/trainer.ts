import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { numStepsOf } from '@locmoe/run-format';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { mergedCheckpoint } from '../checkpoint/merged.js';
import type { RunConfig } from '../config/schema.js';
import { type Dataset, openDataset } from '../data/dataset.js';
import { createLoader, type Loader } from '../data/loader.js';
import { quotePlaces } from '../data/quote-places.js';
import { asTrainerError } from '../errors.js';
import { failpoint } from '../failpoint.js';
import { collectNow } from '../garbage-collection.js';
import { numParametersOf } from '../model/parameter-counts.js';
import { kernels, useComputation, whyNoDevice } from '../ops/kernels/choose-kernels.js';
import { describeSlots, type SlotStatistics } from '../parameters/expert-slots.js';
import { AfterStep, type AfterStepOptions } from './after-step.js';
import { ChoiceMeter } from './choice-meter.js';
import { OverlapTrial, useFasterForm } from './exchange-trials.js';
import { ExpertForesight } from './expert-foresight.js';
import { homeRanksOfDomain } from './home-ranks.js';
import type { RouteProbe } from './route-probe.js';
import type { StartClock } from './start-clock.js';
import { createTrainState, inheritModel, loadModel } from './state.js';
import { type TrainState, trainStep } from './train-step.js';

/** Steps between two full garbage collections, without which memory would grow by about 0.3 MB a step. */
const COLLECT_EVERY = 50;

export interface TrainerOptions extends AfterStepOptions {
  readonly clock: StartClock;
}

/** Loads the libraries and modules that a rank of such a run needs besides those that this module imports. */
export async function prepare({ train }: RunConfig): Promise<void> {
  useComputation(train);
  kernels();
  if (train.recordRoutes) await import('./route-recorder.js');
  if (train.probeRoutes) await import('./route-probe.js');
}

/** One rank of a generation: `create`, then `run` once, then `release` where the process goes on. */
export class Trainer {
  /** Number of updates done. */
  #step: number;
  /** Does what is due after steps, and receives the coordinator's commands about checkpoints and snapshots. */
  readonly afterStep: AfterStep;

  private constructor(
    private readonly options: TrainerOptions,
    private readonly state: TrainState,
    private readonly dataset: Dataset,
    checkpoint: Checkpoint | null,
  ) {
    const { generation, topology } = options.assignment;
    options.writer.begin({ rank: topology.rank, generation }, () => state.expertFile?.release());
    this.afterStep = new AfterStep(options, state, checkpoint);
    this.#step = checkpoint?.manifest.data.nextStep ?? 0;
  }

  /** The current step, or the last one done. */
  get step(): number {
    return this.#step;
  }

  /** Opens the data, builds the model and loads the checkpoint, if any. Calls no collective. */
  static create(options: TrainerOptions): Trainer {
    const { assignment, transport, clock } = options;
    useComputation(assignment.config.train);
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
    const { afterStep } = this;
    const { snapshots } = afterStep;
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
    const foresight = routes ? null : ExpertForesight.of(this.state.model, loader, train.microBatches);
    // Runs that record nothing do not load the Parquet writer.
    const recorder =
      train.recordRoutes &&
      (await import('./route-recorder.js')).openRecorder(assignment, this.dataset, this.#step, logger);
    const probe = await this.#openProbe(loader);
    const [choices, numSteps] = [new ChoiceMeter(config), numStepsOf(config)];
    const { description } = kernels();
    logger.info(
      { parameters: numParametersOf(this.state.model.parameterSpecs), kernels: description },
      `training from step ${this.#step + 1} to ${numSteps} with ${description}`,
    );
    const why = whyNoDevice();
    if (why !== null)
      logger.warn(`train.device auto: the processor computes, as there is no device (${why})`);
    afterStep.begin({ batches: validation, options: { changes: routes?.ofValidation }, probe });
    try {
      if (config.cluster.exchange === 'auto') useFasterForm(this.state.model, this.options);
      // This validation measures the inherited weights on this text before they are trained on it.
      if (assignment.initFrom !== null) afterStep.validate(this.#step);
      if (this.#step === 0) afterStep.recordProbe(this.#step);
      let trial = OverlapTrial.of(this.state.model, this.options);
      const firstStep = this.#step + 1;
      clock.end('trials');
      for (const part of clock.parts) transport.spans.past(part, firstStep);
      while (this.#step < numSteps) {
        // One turn of the event loop per step, to send reports and notice a lost node agent.
        await nextTurn();
        afterStep.saver.check();
        this.#step++;
        failpoint('step.begun');
        trial?.beforeStep();
        const first = (this.#step - 1) * train.microBatches;
        const microBatches = Array.from({ length: train.microBatches }, (_, i) => first + i);
        const batches = microBatches.map(loader.batchForStep);
        // Rank 0's clock is the clock of all ranks.
        const timeUsed = topology.rank === 0 ? afterStep.timeUsed : 0;
        const outcome = trainStep(this.state, {
          step: this.#step,
          batches,
          wishes: { timeUsed, snapshot: snapshots.vote(this.#step) },
          fetch: foresight && (() => foresight.beforeStep(this.#step)),
          changes: await routes?.changesOf(this.#step, microBatches, batches),
          choices,
          inspectorOf: recorder?.begin(this.#step, batches, microBatches.map(loader.placesForStep)),
          beforeUpdate: () => snapshots.settle(transport),
        });
        if (this.#step === firstStep) clock.end('first');
        const startMs = this.#step === firstStep ? clock.partsMs : {};
        const { report, stopAsked } = outcome;
        recorder?.end(outcome.sent);
        logger.debug({ loss: report.loss, stepMs: report.stepMs, experts: this.#slotStatistics }, 'step');
        emit({ type: 'step', report: { ...report, startMs } });
        const quote = () =>
          quotePlaces(this.dataset, config.data.endOfText, microBatches.flatMap(loader.placesForStep));
        afterStep.skipped.add(outcome, { batches, quote });
        if (trial?.afterStep(report.stepMs)) trial = null;
        if (this.#step % COLLECT_EVERY === 0) collectNow();
        const isLast = this.#step === numSteps || outcome.isTimeUp;
        if (await afterStep.record({ step: this.#step, isLast, stopAsked })) break;
        if (stopAsked) return true;
        afterStep.takeSnapshots(outcome);
      }
      transport.setProgress(this.#step, 'done');
      return false;
    } catch (error) {
      throw asTrainerError(error, { rank: topology.rank, node: topology.node, step: this.#step });
    } finally {
      snapshots.local.close();
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

  async #openProbe(loader: Loader): Promise<RouteProbe | null> {
    const { assignment, logger } = this.options;
    const { dataset, state } = this;
    if (!assignment.config.train.probeRoutes || state.model.sparseLayers.length === 0) return null;
    const { RouteProbe } = await import('./route-probe.js');
    return new RouteProbe(state.model, { ...assignment, dataset, loader, step: this.#step, logger });
  }

  /** Statistics of experts in a file so far; undefined if experts are not in a file. */
  get #slotStatistics(): SlotStatistics | undefined {
    const { slots } = this.state.model.parameters;
    return slots?.isStored ? slots.statistics : undefined;
  }
}
