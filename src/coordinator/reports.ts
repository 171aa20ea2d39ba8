import { numStepsOf, Throughput, tokensPerStep } from '@locmoe/run-format';
import type { RunConfig } from '../config/schema.js';
import { classicCapacity } from '../routing/capacity/capacity.js';
import { heldExperts } from '../routing/index.js';
import type * as wire from '../rpc/generated/messages.js';
import { becauseOf } from '../run/abort-reason.js';
import { RankSpeeds } from '../run/rank-speeds.js';
import type { RunListener, RunSnapshot } from '../run/run-listener.js';
import { StepAggregator } from '../run/step-aggregator.js';
import type { CoordinatorOptions } from './coordinator-options.js';
import type { Member } from './member.js';
import type { Membership } from './membership.js';
import { RankTable } from './rank-table.js';
import { StragglerWatch } from './straggler-watch.js';

/** Minimum time between two `recorded` commands. */
const RECORDED_MS = 200;
/** Capacity factor to compare with in a run that has none: the baseline of LocMoE+ (arXiv 2406.00023). */
const REFERENCE_CAPACITY_FACTOR = 1.1;

export type ReportsOptions = Pick<
  CoordinatorOptions,
  'logs' | 'logger' | 'listeners' | 'snapshots' | 'adopts' | 'trainedSeconds'
> & { readonly identity: Pick<CoordinatorOptions['identity'], 'config' | 'resumedStep'> };

/**
 * Handles the training reports of nodes, and derives the progress and speed of a generation from them. Listeners receive
 * each report once, even if a node that reconnected repeats it; nodes keep reports until `recorded` names their step.
 */
export class Reports {
  readonly ranks: RankTable;
  readonly #steps: StepAggregator;
  readonly #speeds: RankSpeeds;
  readonly #stragglers: StragglerWatch;
  readonly #throughput: Throughput;
  /** Last step that all ranks have completed, under this coordinator or an earlier one. */
  #completedStep: number;
  /** Loss of the completed step; null if it was skipped, undefined if this coordinator has seen none. */
  #lastLoss: number | null | undefined;
  #validatedStep: number;
  #recordedMs = Number.NEGATIVE_INFINITY;
  /** Validations that arrived before all ranks had reported the step. */
  #early: wire.ValidationReport[] = [];

  constructor(
    private readonly options: ReportsOptions,
    private readonly members: Membership,
  ) {
    const { identity, logger, adopts, trainedSeconds = 0 } = options;
    const { config, resumedStep } = identity;
    const { nodes, workersPerNode } = config.cluster;
    const worldSize = nodes * workersPerNode;
    this.ranks = new RankTable(workersPerNode);
    this.#steps = new StepAggregator(worldSize, nodes, capacityOf(config), adopts?.step);
    this.#speeds = new RankSpeeds(worldSize);
    const hostOf = (node: number) => members.hostOf(node);
    this.#stragglers = new StragglerWatch({ speeds: this.#speeds, workersPerNode, logger, hostOf });
    const maxSeconds = 3600 * (config.train.maxHours ?? Infinity);
    this.#throughput = new Throughput(numStepsOf(config), maxSeconds - trainedSeconds);
    this.#completedStep = adopts?.step ?? resumedStep;
    this.#validatedStep = adopts?.validation?.step ?? -1;
  }

  /** Last step that all ranks have completed under this coordinator; undefined before the first one. */
  get lastStep(): number | undefined {
    return this.#lastLoss === undefined ? undefined : this.#completedStep;
  }

  logs({ node }: Member, { lines, dropped }: wire.LogBatch): void {
    const { logs, logger } = this.options;
    logs.appendAll(`node-${node}`, lines);
    if (dropped > 0) logger.warn({ node, dropped }, `node ${node} dropped log lines`);
    this.#notify((each) => each.logLines?.(node, { kept: lines.length, dropped }));
  }

  /** Logs why a rank ended. A rank that ended because of another does not repeat that failure. */
  failure({ node }: Member, failure: wire.WorkerFailure): void {
    const { logger } = this.options;
    const { rank, code, message, operation } = failure;
    const place = { node, rank, step: failure.step < 0 ? undefined : failure.step };
    if (code === 'ABORTED') logger.info({ ...place, operation }, `rank ${rank} stopped${becauseOf(message)}`);
    else logger.error({ ...place, failure }, `rank ${rank} failed: ${message}`);
  }

  heartbeat({ node }: Member, heartbeat: wire.Heartbeat): void {
    this.ranks.update(heartbeat.workers);
    const { snapshot } = this;
    this.#notify((each) => each.heartbeat?.(node, heartbeat, snapshot));
  }

  /** @throws TrainerError `BAD_MESSAGE` if the report is not of the next step of its rank */
  step({ hasReturned }: Pick<Member, 'hasReturned'>, report: wire.StepReport): void {
    if (hasReturned && this.#steps.has(report)) return;
    const step = this.#steps.add(report);
    this.#speeds.add(report);
    this.#notify((each) => each.rankStep?.(report));
    if (step === null) return;
    this.options.snapshots?.stepped(step.step);
    this.#completedStep = step.step;
    this.#lastLoss = step.loss;
    this.#throughput.add(step.step, step.tokens);
    this.#stragglers.check(step.step);
    const { snapshot } = this;
    this.#notify((each) => each.step?.(step, snapshot));
    this.#tellValidations();
    const now = performance.now();
    if (now - this.#recordedMs < RECORDED_MS) return;
    this.#recordedMs = now;
    this.members.broadcast({ command: 'recorded', recorded: { step: step.step } });
  }

  validation({ hasReturned }: Member, report: wire.ValidationReport): void {
    const isNew = report.step > this.#validatedStep;
    this.#validatedStep = Math.max(report.step, this.#validatedStep);
    if (hasReturned && !isNew) return;
    this.#early.push(report);
    this.#tellValidations();
  }

  /** Announces validations after their steps, so that a coordinator that takes over finds both or neither recorded. */
  #tellValidations(): void {
    const due = this.#early.filter(({ step }) => step <= this.#completedStep);
    this.#early = this.#early.filter(({ step }) => step > this.#completedStep);
    for (const report of due) this.#notify((each) => each.validation?.(report));
  }

  #notify(tell: (listener: RunListener) => void): void {
    for (const listener of this.options.listeners) tell(listener);
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
    wire.StatusReply,
    'step' | 'steps' | 'loss' | 'tokensPerS' | 'secondsLeft' | 'workers' | 'speeds'
  > {
    const { tokensPerS, secondsLeft, totalSteps } = this.#throughput;
    return {
      step: this.lastStep ?? this.options.identity.resumedStep,
      steps: totalSteps,
      loss: this.#lastLoss === null ? Number.NaN : (this.#lastLoss ?? 0),
      tokensPerS,
      secondsLeft,
      workers: this.ranks.workers,
      speeds: this.#speeds.speeds,
    };
  }
}

/** Returns the choices that an expert takes from the global batch under the classic rule. */
function capacityOf(config: RunConfig): number {
  const { moe, train } = config;
  const factor = moe.capacityFactor ?? REFERENCE_CAPACITY_FACTOR;
  const tokensPerBatch = tokensPerStep(config) / train.microBatches;
  return train.microBatches * classicCapacity(factor, tokensPerBatch, 1, heldExperts(moe).count);
}
