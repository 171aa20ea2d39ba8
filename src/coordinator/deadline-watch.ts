import { GRACE, type Timeouts } from '../config/timeouts.js';
import { TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import { isOver, type RunState } from '../run/run-state.js';
import { findHangs, type Hang } from './hang-rule.js';
import type { Member } from './member.js';
import type { Membership } from './membership.js';
import type { RankTable } from './rank-table.js';
import { endUnknown, type ProcessEnd } from './root-cause.js';
import { StandstillWatch } from './standstill.js';

/** What the watch sees of a run, and may do to it. */
export interface WatchedRun {
  readonly state: () => RunState;
  /** A member that is gone frees its place for another. */
  readonly canReplace: () => boolean;
  readonly free: (member: Member, reason: string) => void;
  readonly lose: (member: Member, end: ProcessEnd) => void;
  /** Has the node of a stuck rank find out where it is, and report it. */
  readonly examine: (hang: Hang) => void;
  readonly fail: (error: TrainerError) => void;
  /** It did not open a session again. */
  readonly miss: (member: Member) => void;
  /** Not all nodes came in time. */
  readonly missNodes: (error: TrainerError) => void;
}

export interface DeadlineWatchOptions {
  readonly members: Membership;
  readonly ranks: RankTable;
  readonly logger: Logger;
  readonly timeouts: Timeouts;
  /** How long to wait for all nodes. */
  readonly joinTimeoutMs: number;
  readonly run: WatchedRun;
}

/** Holds a run to its deadlines: for nodes to join, workers to load, the last checkpoint, and heartbeats. */
export class DeadlineWatch {
  readonly #standstill: StandstillWatch;
  readonly #timer: NodeJS.Timeout;
  #phaseStartedMs = performance.now();
  #slowStartTold = false;
  /** Ranks whose nodes were told to examine them. */
  readonly #examined = new Set<number>();

  constructor(private readonly options: DeadlineWatchOptions) {
    const { heartbeatMs } = options.timeouts;
    this.#standstill = new StandstillWatch(heartbeatMs);
    this.#timer = setInterval(() => this.#check(), heartbeatMs);
  }

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
    if (!isOver(run.state()))
      logger.warn(
        `the coordinator stood still for ${(lateMs / 1000).toFixed(1)} s: stopped, suspended with its machine, or without a processor`,
      );
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    this.forgiveStandstill();
    const { members, run, timeouts } = this.options;
    const { stoppedMs, lostMs } = timeouts;
    if (run.canReplace()) {
      for (const member of members.silentFor(lostMs)) run.free(member, 'it is silent');
      for (const member of members.withoutSession) run.free(member, 'it opened no session');
    }
    this.#checkPhase(run.state(), performance.now() - this.#phaseStartedMs);
    const how = 'it is stopped (SIGSTOP)';
    for (const member of members.silentFor(stoppedMs)) {
      if (!member.isStopped) continue;
      if (run.canReplace()) run.free(member, how);
      else run.lose(member, endUnknown(how));
    }
    for (const member of members.silentFor(lostMs))
      run.lose(member, endUnknown(`no heartbeat for ${lostMs / 1000} s`));
    const now = performance.now();
    for (const member of members.awaited) if (now - member.heardOfMs > lostMs) run.miss(member);
    for (const hang of findHangs(this.options.ranks.views, timeouts)) {
      if (this.#examined.has(hang.rank)) continue;
      this.#examined.add(hang.rank);
      run.examine(hang);
    }
  }

  /** @param inPhaseMs since the state last changed */
  #checkPhase(state: RunState, inPhaseMs: number): void {
    const { members, logger, joinTimeoutMs, run } = this.options;
    const { startMs } = this.options.timeouts;
    if (state.kind === 'waiting' && inPhaseMs > joinTimeoutMs)
      run.missNodes(new TrainerError('NODE_LOST', `after ${joinTimeoutMs / 1000} s ${members.describe()}`));
    if (state.kind === 'starting' && inPhaseMs > GRACE.slowStartMs && !this.#slowStartTold) {
      this.#slowStartTold = true;
      logger.warn(`workers are not ready after ${GRACE.slowStartMs / 1000} s: ${this.#describeLate()}`);
    }
    if (state.kind === 'starting' && inPhaseMs > startMs)
      run.fail(
        new TrainerError(
          'NODE_LOST',
          `workers were not ready within ${startMs / 1000} s: ${this.#describeLate()}`,
        ),
      );
    if (state.kind === 'stopping' && state.cause !== null && inPhaseMs > GRACE.lastCheckpointMs)
      run.fail(state.cause);
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
