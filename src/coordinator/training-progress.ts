import { type GlobalStep, numStepsOf, Throughput, tokensPerStep } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';
import type { Logger } from '../logger.js';
import { classicCapacity } from '../routing/capacity.js';
import { heldExperts } from '../routing/index.js';
import type { StatusReply, StepReport } from '../rpc/generated/messages.js';
import { RankSpeeds } from '../run/rank-speeds.js';
import type { RunSnapshot } from '../run/run-listener.js';
import { StepAggregator } from '../run/step-aggregator.js';
import type { Adoption } from './planning/adoption.js';
import { RankTable } from './rank-table.js';
import { StragglerWatch } from './straggler-watch.js';

/** Capacity factor to compare with in a run that has none: the baseline of LocMoE+ (arXiv 2406.00023). */
const REFERENCE_CAPACITY_FACTOR = 1.1;

export interface TrainingProgressOptions {
  readonly config: RunConfig;
  readonly logger: Logger;
  readonly hostOf: (node: number) => string | null;
  /** Updates completed before the first step. */
  readonly resumedStep: number;
  readonly trainedSeconds: number;
  readonly adopts: Pick<Adoption, 'step' | 'validation'> | null;
}

/** Progress and speed of a generation, derived from the reports of its ranks. */
export class TrainingProgress {
  readonly ranks: RankTable;
  readonly #steps: StepAggregator;
  readonly #speeds: RankSpeeds;
  readonly #stragglers: StragglerWatch;
  readonly #throughput: Throughput;
  readonly #resumedStep: number;
  readonly #firstStep: number;
  #last: GlobalStep | null = null;
  #validatedStep: number;

  constructor({ config, logger, hostOf, resumedStep, trainedSeconds, adopts }: TrainingProgressOptions) {
    const { moe, train, cluster } = config;
    const { workersPerNode } = cluster;
    const worldSize = cluster.nodes * workersPerNode;
    const capacityFactor = moe.capacityFactor ?? REFERENCE_CAPACITY_FACTOR;
    const tokensPerBatch = tokensPerStep(config) / train.microBatches;
    const capacity =
      train.microBatches * classicCapacity(capacityFactor, tokensPerBatch, 1, heldExperts(moe).count);
    this.ranks = new RankTable(workersPerNode);
    this.#steps = new StepAggregator(worldSize, capacity, adopts?.step);
    this.#speeds = new RankSpeeds(worldSize);
    this.#stragglers = new StragglerWatch({ speeds: this.#speeds, workersPerNode, logger, hostOf });
    this.#throughput = new Throughput(
      numStepsOf(config),
      3600 * (train.maxHours ?? Infinity) - trainedSeconds,
    );
    this.#resumedStep = resumedStep;
    this.#firstStep = adopts?.step ?? resumedStep;
    this.#validatedStep = adopts?.validation?.step ?? -1;
  }

  /** Last step that all ranks have completed; null before the first one under this coordinator. */
  get lastStep(): GlobalStep | null {
    return this.#last;
  }

  /** Number of the last step that all ranks have completed, under whichever coordinator. */
  get completedStep(): number {
    return this.#last?.step ?? this.#firstStep;
  }

  /** Tells whether a rank's report was already received, by this coordinator or its predecessor. */
  has(report: StepReport): boolean {
    return this.#steps.has(report);
  }

  /**
   * @returns the step, once all ranks have reported it; null before
   * @throws TrainerError `BAD_MESSAGE` if it is not the next step of its rank
   */
  add(report: StepReport): GlobalStep | null {
    const step = this.#steps.add(report);
    this.#speeds.add(report);
    return step;
  }

  /** Completes a step that `add` returned. */
  complete(step: GlobalStep): void {
    this.#last = step;
    this.#throughput.add(step.step, step.tokens);
    this.#stragglers.check(step.step);
  }

  /** @returns whether the validation of this step is new */
  validate(step: number): boolean {
    if (step <= this.#validatedStep) return false;
    this.#validatedStep = step;
    return true;
  }

  get snapshot(): RunSnapshot {
    const { tokensPerS, secondsLeft, totalSteps } = this.#throughput;
    const speeds = this.#speeds;
    return {
      ranks: this.ranks.views,
      steps: totalSteps,
      tokensPerS,
      secondsLeft,
      get speeds() {
        return speeds.speeds;
      },
    };
  }

  get status(): Pick<
    StatusReply,
    'step' | 'steps' | 'loss' | 'tokensPerS' | 'secondsLeft' | 'workers' | 'speeds'
  > {
    const { tokensPerS, secondsLeft, totalSteps } = this.#throughput;
    return {
      step: this.#last?.step ?? this.#resumedStep,
      steps: totalSteps,
      loss: this.#last === null ? 0 : (this.#last.loss ?? Number.NaN),
      tokensPerS,
      secondsLeft,
      workers: this.ranks.workers,
      speeds: this.#speeds.speeds,
    };
  }
}
