import { setImmediate as nextTurn } from 'node:timers/promises';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { saveCheckpoint } from '../checkpoint/checkpointer.js';
import { pickForm } from '../collectives/pick-form.js';
import type { Transport } from '../collectives/transport.js';
import { numStepsOf } from '../config/run-length.js';
import { type Dataset, openDataset } from '../data/dataset.js';
import { createLoader } from '../data/loader.js';
import { asTrainerError } from '../errors.js';
import { collectNow } from '../garbage-collection.js';
import type { Logger } from '../logger.js';
import { homeRanksOfDomain } from './home-ranks.js';
import type { WorkerAssignment, WorkerEvent } from './messages.js';
import { type OverlapChoice, OverlapTrial } from './overlap-trial.js';
import { createTrainState, tensorsToSave } from './state.js';
import { type TrainState, trainStep } from './train-step.js';
import { validate } from './validation.js';

/**
 * Steps between two full collections, which alone free what survives the young generation, about 0.3 MB a
 * step.
 */
const COLLECT_EVERY = 50;

export interface TrainerOptions {
  readonly assignment: WorkerAssignment;
  readonly transport: Transport;
  readonly logger: Logger;
  readonly emit: (event: WorkerEvent) => void;
}

/** One rank of a run: `create`, then `run` once. */
export class Trainer {
  /** Updates done. */
  #step: number;
  readonly #options: TrainerOptions;
  readonly #state: TrainState;
  readonly #dataset: Dataset;

  private constructor(options: TrainerOptions, state: TrainState, dataset: Dataset, startStep: number) {
    this.#options = options;
    this.#state = state;
    this.#dataset = dataset;
    this.#step = startStep;
  }

  /** The current step, or the last one done. */
  get step(): number {
    return this.#step;
  }

  /** Opens the data, builds the model and loads the checkpoint, if any. Calls no collective. */
  static create(options: TrainerOptions): Trainer {
    const { assignment, transport } = options;
    const dataset = openDataset(assignment.datasetDir, { verify: assignment.topology.localRank === 0 });
    const checkpoint = assignment.resumeFrom === null ? null : openCheckpoint(assignment.resumeFrom);
    const state = createTrainState(assignment.config, transport, checkpoint);
    return new Trainer(options, state, dataset, checkpoint?.manifest.data.nextStep ?? 0);
  }

  /**
   * Trains to the last step, or until a stop is requested; saves a checkpoint of the last step either way.
   *
   * @returns true if it stopped before the last step
   */
  async run(): Promise<boolean> {
    const { assignment, transport, logger, emit } = this.#options;
    const { config, topology } = assignment;
    const { train, model } = config;
    const loader = createLoader({
      dataset: this.#dataset,
      weights: config.data.weights,
      seed: config.seed,
      // The loader's batches in their order are the micro-batches of the steps in theirs.
      globalBatch: train.globalBatch / train.microBatches,
      seqLen: model.seqLen,
      rank: topology.rank,
      worldSize: topology.worldSize,
      homeRanksOfDomain: homeRanksOfDomain(config, topology),
    });
    const validation = loader.validationBatches(train.validationSequences);
    const numSteps = numStepsOf(config);
    logger.info({ parameters: this.#numParameters() }, `training from step ${this.#step + 1} to ${numSteps}`);
    try {
      if (config.cluster.exchange === 'auto') this.#pickForm();
      let trial = OverlapTrial.isOpen(config) ? new OverlapTrial(transport) : null;
      while (this.#step < numSteps) {
        // One turn of the event loop per step, to send reports and notice a lost node agent.
        await nextTurn();
        this.#step++;
        if (trial !== null) this.#state.model.useOverlap(trial.degree);
        const first = (this.#step - 1) * train.microBatches;
        const batches = Array.from({ length: train.microBatches }, (_, i) => loader.batchForStep(first + i));
        const { report, stopAsked } = trainStep(this.#state, this.#step, batches);
        logger.debug({ loss: report.loss, stepMs: report.stepMs }, 'step');
        emit({ type: 'step', report });
        if (trial !== null && this.#useFaster(trial.record(report.stepMs))) trial = null;
        const isLast = this.#step === numSteps;
        if (this.#step % COLLECT_EVERY === 0) collectNow();
        // A stop is urgent: no validation before its checkpoint.
        if (isLast || (!stopAsked && this.#step % train.validateEvery === 0)) this.#validate(validation);
        if (isLast || stopAsked || this.#step % train.checkpointEvery === 0)
          this.#checkpoint(report.loss, isLast || stopAsked);
        if (stopAsked && !isLast) return true;
      }
      transport.setProgress(this.#step, 'done');
      return false;
    } catch (error) {
      throw asTrainerError(error, { rank: topology.rank, node: topology.node, step: this.#step });
    }
  }

  /** Times the forms of the all-to-all with the bytes per pair of ranks under balanced routing. */
  #pickForm(): void {
    const { assignment, transport, logger } = this.#options;
    const { model, train, moe } = assignment.config;
    const { worldSize, numNodes, rank } = assignment.topology;
    if (numNodes === 1) return;
    const tokens = (train.globalBatch * model.seqLen) / (worldSize * train.microBatches);
    const rows = Math.ceil((tokens * (moe.capacityFactor ?? 1)) / worldSize);
    const bytes = rows * model.dModel * Float32Array.BYTES_PER_ELEMENT;
    const { form, ms } = pickForm(transport, bytes);
    this.#state.model.communicator.form = form;
    if (rank !== 0) return;
    const [hierarchical, flat] = [ms.hierarchical, ms.flat].map((each) => each.toFixed(2));
    logger.info(
      { exchange: form, bytesPerPair: bytes, ms },
      `exchange between nodes: ${form}; ${bytes} bytes for each other rank took ${hierarchical} ms ` +
        `hierarchical, ${flat} ms flat`,
    );
  }

  /** @returns whether the trial is over */
  #useFaster(choice: OverlapChoice | null): boolean {
    if (choice === null) return false;
    const { degree, ms } = choice;
    const { assignment, logger } = this.#options;
    this.#state.model.useOverlap(degree);
    if (assignment.topology.rank === 0)
      logger.info(
        { overlapDegree: degree, ms },
        `exchanges between nodes ${degree === 1 ? 'are not' : 'are'} overlapped with experts: a step took ` +
          `${ms.inTurn.toFixed(1)} ms without, ${ms.overlapped.toFixed(1)} ms with it`,
      );
    return true;
  }

  #numParameters(): number {
    const { shared, expert } = this.#state.model.parameters;
    return shared.values.length + expert.values.length;
  }

  #validate(batches: Parameters<typeof validate>[2]): void {
    const { assignment, transport, logger, emit } = this.#options;
    transport.setProgress(this.#step, 'validate');
    const domains = validate(this.#state.model, transport, batches, assignment.config.data.domains);
    if (assignment.topology.rank !== 0) return;
    emit({ type: 'validation', report: { step: this.#step, domains } });
    logger.info({ domains }, 'validated');
  }

  /** A full disk fails the run only at its last save; before that, the next save tries again. */
  #checkpoint(loss: number, isFinal: boolean): void {
    const { assignment, transport, logger } = this.#options;
    transport.setProgress(this.#step, 'checkpoint');
    try {
      this.#save(loss);
    } catch (error) {
      const { code, line } = asTrainerError(error);
      if (isFinal || code !== 'DISK_FULL') throw error;
      if (assignment.topology.rank !== 0) return;
      const next = `in ${assignment.config.train.checkpointEvery} steps`;
      logger.warn(`no checkpoint of step ${this.#step}: ${line}; the run goes on, the next try is ${next}`);
    }
  }

  #save(loss: number): void {
    const { assignment, transport, logger, emit } = this.#options;
    const directory = saveCheckpoint(transport, {
      root: assignment.checkpointDir,
      step: this.#step,
      generation: assignment.generation,
      keep: assignment.config.train.keepCheckpoints,
      runId: assignment.runId,
      config: assignment.config,
      tokenizerFile: this.#dataset.tokenizerFile,
      data: { nextStep: this.#step },
      metrics: { loss },
      tensors: tensorsToSave(this.#state),
    });
    if (assignment.topology.rank !== 0) return;
    emit({ type: 'checkpoint', report: { step: this.#step, directory } });
    logger.info({ directory }, 'checkpoint saved');
  }
}
