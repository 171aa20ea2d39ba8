import { GRACE, type Timeouts } from '../config/timeouts.js';
import { TrainerError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { Admission } from './admission.js';
import type { FailureJudge } from './failure-judge.js';
import { findHangs } from './hang-rule.js';
import type { Lifecycle } from './lifecycle.js';
import type { Membership } from './membership.js';
import type { RankTable } from './rank-table.js';
import { endUnknown } from './root-cause.js';
import type { StandstillWatch } from './standstill.js';

export interface DeadlineWatchOptions {
  readonly members: Membership;
  readonly ranks: RankTable;
  readonly logger: Logger;
  readonly timeouts: Timeouts;
  readonly standstill: StandstillWatch;
  readonly lifecycle: Lifecycle;
  readonly admission: Admission;
  readonly judge: FailureJudge;
}

/** Enforces the deadlines of a run: for nodes to join, workers to load, the last checkpoint, and heartbeats. */
export class DeadlineWatch {
  readonly #timer: NodeJS.Timeout;
  #slowStartTold = false;
  /** Ranks whose nodes were told to examine them. */
  readonly #examined = new Set<number>();

  constructor(private readonly options: DeadlineWatchOptions) {
    this.#timer = setInterval(() => this.#check(), options.timeouts.heartbeatMs);
  }

  /** Extends all deadlines by the time for which this process stood still, as no heartbeat could be read. */
  forgiveStandstill(): void {
    const { members, logger, standstill, lifecycle } = this.options;
    const lateMs = standstill.check();
    if (lateMs === 0) return;
    lifecycle.forgive(lateMs);
    members.forgive(lateMs);
    // After the end of the run the summary may block this process.
    if (!lifecycle.isOver)
      logger.warn(
        `the coordinator stood still for ${(lateMs / 1000).toFixed(1)} s: stopped, suspended with its machine, or without a processor`,
      );
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    this.forgiveStandstill();
    const { members, timeouts, admission, judge } = this.options;
    const { stoppedMs, lostMs } = timeouts;
    if (admission.canReplace) {
      for (const member of members.silentFor(lostMs)) admission.free(member, 'it is silent');
      for (const member of members.withoutSession) admission.free(member, 'it opened no session');
    }
    this.#checkPhase();
    const how = 'it is stopped (SIGSTOP)';
    for (const member of members.silentFor(stoppedMs)) {
      if (!member.isStopped) continue;
      if (admission.canReplace) admission.free(member, how);
      else judge.lose(member, endUnknown(how));
    }
    for (const member of members.silentFor(lostMs))
      judge.lose(member, endUnknown(`no heartbeat for ${lostMs / 1000} s`));
    const now = performance.now();
    for (const member of members.awaited)
      if (now - member.heardOfMs > lostMs) admission.miss(member, 'did not come back in time');
    for (const { node, rank, reason } of findHangs(this.options.ranks.views, timeouts)) {
      if (this.#examined.has(rank)) continue;
      this.#examined.add(rank);
      members.get(node).session?.send({ command: 'examine', examine: { rank, reason } });
    }
  }

  #checkPhase(): void {
    const { members, logger, lifecycle, admission } = this.options;
    const { startMs } = this.options.timeouts;
    const { state, inStateMs } = lifecycle;
    const { timeoutMs } = admission;
    if (state.kind === 'waiting' && inStateMs > timeoutMs)
      admission.missNodes(
        new TrainerError('NODE_LOST', `after ${timeoutMs / 1000} s ${members.describe()}`, {
          node: members.missing[0],
        }),
      );
    if (state.kind === 'starting' && inStateMs > GRACE.slowStartMs && !this.#slowStartTold) {
      this.#slowStartTold = true;
      logger.warn(`workers are not ready after ${GRACE.slowStartMs / 1000} s: ${this.#describeLate()}`);
    }
    if (state.kind === 'starting' && inStateMs > startMs)
      lifecycle.fail({
        error: new TrainerError(
          'NODE_LOST',
          `workers were not ready within ${startMs / 1000} s: ${this.#describeLate()}`,
        ),
        culprit: null,
      });
    if (state.kind === 'stopping' && state.cause !== null && inStateMs > GRACE.lastCheckpointMs)
      lifecycle.fail({ error: state.cause, culprit: null });
  }

  /** Describes the nodes that are not ready, and their stopped workers. */
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
