import type * as wire from '../rpc/generated/messages.js';
import { becauseOf } from '../run/abort-reason.js';
import type { RunListener } from '../run/run-listener.js';
import type { CoordinatorOptions } from './coordinator-options.js';
import type { Member } from './member.js';
import type { Membership } from './membership.js';
import type { TrainingProgress } from './training-progress.js';

/** Least time between two `recorded` commands. */
const RECORDED_MS = 200;

export type ReportsOptions = Pick<CoordinatorOptions, 'logs' | 'logger' | 'listeners' | 'snapshots'>;

/**
 * Handles the training reports of nodes. Listeners receive each report once, even if a node that reconnected repeats
 * it; nodes keep reports until `recorded` names their step.
 */
export class Reports {
  #recordedMs = Number.NEGATIVE_INFINITY;
  /** Validations of steps that some rank has not reported yet. */
  #early: wire.ValidationReport[] = [];

  constructor(
    private readonly options: ReportsOptions,
    private readonly members: Membership,
    private readonly progress: TrainingProgress,
  ) {}

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
    this.progress.ranks.update(heartbeat.workers);
    const { snapshot } = this.progress;
    this.#notify((each) => each.heartbeat?.(node, heartbeat, snapshot));
  }

  /** @throws TrainerError `BAD_MESSAGE` if it is not the next step of its rank */
  step({ hasReturned }: Member, report: wire.StepReport): void {
    if (hasReturned && this.progress.has(report)) return;
    const step = this.progress.add(report);
    this.#notify((each) => each.rankStep?.(report));
    if (step === null) return;
    this.options.snapshots?.stepped();
    this.progress.complete(step);
    const { snapshot } = this.progress;
    this.#notify((each) => each.step?.(step, snapshot));
    this.#tellValidations();
    const now = performance.now();
    if (now - this.#recordedMs < RECORDED_MS) return;
    this.#recordedMs = now;
    this.members.broadcast({ command: 'recorded', recorded: { step: step.step } });
  }

  validation({ hasReturned }: Member, report: wire.ValidationReport): void {
    const isNew = this.progress.validate(report.step);
    if (hasReturned && !isNew) return;
    this.#early.push(report);
    this.#tellValidations();
  }

  /** Announces validations after their steps, so that a coordinator that takes over finds both or neither recorded. */
  #tellValidations(): void {
    const { completedStep } = this.progress;
    const due = this.#early.filter(({ step }) => step <= completedStep);
    this.#early = this.#early.filter(({ step }) => step > completedStep);
    for (const report of due) this.#notify((each) => each.validation?.(report));
  }

  #notify(tell: (listener: RunListener) => void): void {
    for (const listener of this.options.listeners) tell(listener);
  }
}
