import { asTrainerError, type TrainerError } from '../errors.js';
import { isOver, type RunEvent, type RunState, transition } from '../run/run-state.js';
import type { CoordinatorOptions, RunFailure } from './coordinator-options.js';
import { blamed } from './failure-report.js';
import type { Membership } from './membership.js';
import type { RankTable } from './rank-table.js';
import type { Culprit, RootCause } from './root-cause.js';

/** State machine of a generation. A change of state is announced to nodes, log and listeners. */
export class Lifecycle {
  #state: RunState;
  #failure: RunFailure | null = null;
  #sinceMs = performance.now();
  #cleanUp = () => {};
  #settle!: (state: RunState) => void;

  /** Resolves when the generation is over: `finished`, `failed` or `restarting`. */
  readonly settled = new Promise<RunState>((resolve) => {
    this.#settle = resolve;
  });

  constructor(
    private readonly options: Pick<
      CoordinatorOptions,
      'identity' | 'logger' | 'listeners' | 'mayRestart' | 'adopts'
    >,
    private readonly members: Membership,
    private readonly ranks: RankTable,
  ) {
    this.#state = { kind: options.adopts ? 'running' : 'waiting' };
  }

  get state(): RunState {
    return this.#state;
  }

  /** Null unless the generation has failed. */
  get failure(): RunFailure | null {
    return this.#failure;
  }

  /** Time in ms since the last change of state, without standstills of this process. */
  get inStateMs(): number {
    return performance.now() - this.#sinceMs;
  }

  /** Excludes the time for which this process stood still. */
  forgive(suspendedMs: number): void {
    this.#sinceMs += suspendedMs;
  }

  /** Registers a callback that discards unfinished work when the generation fails. */
  onFailed(cleanUp: () => void): void {
    this.#cleanUp = cleanUp;
  }

  get isOver(): boolean {
    return isOver(this.#state);
  }

  /** True from the arrival of all nodes until the end. */
  get isUnderWay(): boolean {
    return ['starting', 'running', 'stopping'].includes(this.#state.kind);
  }

  /** Fails the run at once, without a restart. */
  abort(error: TrainerError): void {
    this.apply({ type: 'failure', error, restarts: false });
  }

  /** Fails the generation, and the run with it unless the policy restarts it. */
  fail({ error, culprit }: RootCause): void {
    if (this.isOver) return;
    const restarts = this.options.mayRestart?.(this.#failureOf(error, culprit), this.#state) ?? false;
    this.apply({ type: 'failure', error, restarts }, culprit);
  }

  /** Requests a final checkpoint after this step; with a `cause`, the run fails once it is saved. */
  stop(reason: string, cause: TrainerError | null): void {
    if (!this.apply({ type: 'stop', reason, cause })) return;
    this.options.logger.info({ reason }, `stopping after this step: ${reason}`);
    this.members.broadcast({ command: 'stop', stop: { reason } });
  }

  /**
   * @param culprit process to blame if the event is a failure
   * @returns whether the state changed
   */
  apply(event: RunEvent, culprit: Culprit | null = null): boolean {
    const { members } = this;
    const { logger, listeners } = this.options;
    const before = this.#state;
    this.#state = transition(before, event);
    if (this.#state === before) return false;
    this.#sinceMs = performance.now();
    if (this.#state.kind === 'failed' || this.#state.kind === 'restarting') {
      const { kind, error } = this.#state;
      const isCause = event.type === 'failure' && event.error === error;
      this.#failure = this.#failureOf(error, isCause ? culprit : null);
      this.#logVerdict(this.#failure, kind);
      // After a last checkpoint there is nothing to abort.
      if (!members.allAre('finished')) members.broadcast({ command: 'abort', abort: { reason: error.line } });
      if (kind === 'failed') members.broadcast({ command: 'farewell', farewell: {} });
      this.#cleanUp();
      this.#settle(this.#state);
    } else {
      logger.info({ state: this.#state.kind }, `run is ${this.#state.kind}`);
      if (this.#state.kind === 'finished') {
        members.broadcast({ command: 'farewell', farewell: {} });
        this.#settle(this.#state);
      }
    }
    // Listeners come last, as a listener that throws must not keep a run from ending.
    try {
      for (const listener of listeners) listener.state?.(this.#state);
    } catch (error) {
      this.abort(asTrainerError(error));
    }
    return true;
  }

  #failureOf(error: TrainerError, culprit: Culprit | null): RunFailure {
    return { timeMs: Date.now(), error, culprit, ranks: this.ranks.views };
  }

  /** Logs why the generation is over, with the fields by which queries find a rank or a step. */
  #logVerdict({ error, culprit }: RunFailure, kind: 'failed' | 'restarting'): void {
    const { logger, identity } = this.options;
    if (error.code === 'NODE_RETURNED') {
      logger.info(`generation ${identity.generation} ended: ${error.line}`);
      return;
    }
    const what = kind === 'failed' ? 'the run' : `generation ${identity.generation}`;
    const { exitCode = null, signal = null, pid = null } = culprit ?? {};
    logger.error(
      { ...blamed({ error, culprit }), code: error.code, pid, exitCode, signal },
      `${what} failed: ${error.line}`,
    );
    logger[kind === 'failed' ? 'error' : 'info']({ state: kind }, `run is ${kind}`);
  }
}
