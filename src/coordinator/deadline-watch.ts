import { TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { RunState } from '../run/run-state.js';
import type { Member } from './member.js';
import type { Membership } from './membership.js';
import type { RankTable } from './rank-table.js';
import { endUnknown, type ProcessEnd } from './root-cause.js';
import { StandstillWatch } from './standstill.js';

const HEARTBEAT_TIMEOUT_MS = 15_000;
/** For an agent known to be stopped: no busy machine explains its silence. */
const STOPPED_TIMEOUT_MS = 8_000;
const START_TIMEOUT_MS = 120_000;
/** A start that takes longer is warned of. */
const SLOW_START_MS = 10_000;
/** For the last checkpoint of a run that fails for an error in this process. */
const LAST_CHECKPOINT_MS = 60_000;
const INTERVAL_MS = 500;

/** What the watch sees of a run, and may do to it. */
export interface WatchedRun {
  readonly state: () => RunState;
  /** A member that is gone frees its place for another. */
  readonly canReplace: () => boolean;
  readonly free: (member: Member, reason: string) => void;
  readonly lose: (member: Member, end: ProcessEnd) => void;
  readonly abort: (error: TrainerError) => void;
}

export interface DeadlineWatchOptions {
  readonly members: Membership;
  readonly ranks: RankTable;
  readonly logger: Logger;
  /** How long to wait for all nodes. */
  readonly joinTimeoutMs: number;
  readonly run: WatchedRun;
}

/** Holds a run to its deadlines: for nodes to join, workers to load, the last checkpoint, and heartbeats. */
export class DeadlineWatch {
  readonly #standstill = new StandstillWatch(INTERVAL_MS);
  readonly #timer = setInterval(() => this.#check(), INTERVAL_MS);
  #phaseStartedMs = performance.now();
  #slowStartTold = false;

  constructor(readonly options: DeadlineWatchOptions) {}

  /** ms for which this process just stood still, if long enough for nodes to give up on it; else 0. */
  get missedMs(): number {
    return this.#standstill.missedMs;
  }

  /** The run's state has changed. */
  beginPhase(): void {
    this.#phaseStartedMs = performance.now();
  }

  /** While this process stood still no heartbeat could be read: moves all deadlines by that time. */
  forgiveStandstill(): void {
    const lateMs = this.#standstill.check();
    if (lateMs === 0) return;
    const { members, logger, run } = this.options;
    this.#phaseStartedMs += lateMs;
    members.forgive(lateMs);
    // After its end the summary may block this process.
    const { kind } = run.state();
    if (kind !== 'finished' && kind !== 'failed')
      logger.warn(
        `the coordinator stood still for ${(lateMs / 1000).toFixed(1)} s: stopped, suspended with its machine, or without a processor`,
      );
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    this.forgiveStandstill();
    const { members, run } = this.options;
    if (run.canReplace()) {
      for (const member of members.silentFor(HEARTBEAT_TIMEOUT_MS)) run.free(member, 'it is silent');
      for (const member of members.withoutSession) run.free(member, 'it opened no session');
    }
    this.#checkPhase(run.state(), performance.now() - this.#phaseStartedMs);
    const how = 'it is stopped (SIGSTOP)';
    for (const member of members.silentFor(STOPPED_TIMEOUT_MS)) {
      if (!member.isStopped) continue;
      if (run.canReplace()) run.free(member, how);
      else run.lose(member, endUnknown(how));
    }
    for (const member of members.silentFor(HEARTBEAT_TIMEOUT_MS))
      run.lose(member, endUnknown(`no heartbeat for ${HEARTBEAT_TIMEOUT_MS / 1000} s`));
  }

  /** @param inPhaseMs since the state last changed */
  #checkPhase(state: RunState, inPhaseMs: number): void {
    const { members, logger, joinTimeoutMs, run } = this.options;
    const abortStart = (message: string) => run.abort(new TrainerError('NODE_LOST', message));
    if (state.kind === 'waiting' && inPhaseMs > joinTimeoutMs)
      abortStart(`after ${joinTimeoutMs / 1000} s ${members.describe()}`);
    if (state.kind === 'starting' && inPhaseMs > SLOW_START_MS && !this.#slowStartTold) {
      this.#slowStartTold = true;
      logger.warn(`workers are not ready after ${SLOW_START_MS / 1000} s: ${this.#describeLate()}`);
    }
    if (state.kind === 'starting' && inPhaseMs > START_TIMEOUT_MS)
      abortStart(`workers were not ready within ${START_TIMEOUT_MS / 1000} s: ${this.#describeLate()}`);
    if (state.kind === 'stopping' && state.cause !== null && inPhaseMs > LAST_CHECKPOINT_MS)
      run.abort(state.cause);
  }

  /** Workers of the nodes that are not ready, and those among them that are stopped. */
  #describeLate(): string {
    return this.options.members.all
      .filter(({ status }) => status === 'connected')
      .map(({ node }) => {
        const stopped = this.options.ranks.views
          .filter((worker) => worker.node === node && worker.processState === 'T')
          .map((worker) => `rank ${worker.rank} (pid ${worker.pid}) is stopped`);
        return [`node ${node} is still loading or connecting`, ...stopped].join(', ');
      })
      .join('; ');
  }
}
