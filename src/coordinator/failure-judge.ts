import { GRACE } from '../config/timeouts.js';
import { TrainerError } from '../errors.js';
import type { WorkerFailure } from '../rpc/generated/messages.js';
import { abortReason } from '../run/abort-reason.js';
import type { Member } from './member.js';
import type { Membership } from './membership.js';
import {
  endUnknown,
  type FailureEvidence,
  type ProcessEnd,
  type RootCause,
  rootCause,
} from './root-cause.js';

export interface FailureJudgeOptions
  extends Pick<FailureEvidence, 'workersPerNode' | 'progress' | 'slowLink'> {
  readonly members: Membership;
  readonly numNodes: number;
  readonly lastStep: () => number | undefined;
  /** Tells whether the generation is over, after which a lost node is no failure. */
  readonly isOver: () => boolean;
  /** Returns the ms of a recent standstill that may have made nodes give up on this process; else 0. */
  readonly missedMs: () => number;
  /** How long to wait for the reports of other ranks after a first failure; GRACE.evidenceMs by default. */
  readonly evidenceWindowMs?: number | undefined;
  /** Called once, with the cause of the failure. */
  readonly onVerdict: (cause: RootCause) => void;
}

/**
 * Finds the cause of a failure. The first report aborts all nodes; once every rank is accounted for, or after a moment,
 * the one error that explains the others is chosen.
 */
export class FailureJudge {
  readonly #failures: WorkerFailure[] = [];
  #lost: { readonly member: Member; readonly end: ProcessEnd } | null = null;
  #verdict: NodeJS.Timeout | undefined;
  #isJudged = false;

  constructor(private readonly options: FailureJudgeOptions) {}

  /** True once all nodes were told to abort. */
  get hasBegun(): boolean {
    return this.#verdict !== undefined;
  }

  /** Records why a rank failed; its first report counts. */
  fail(failure: WorkerFailure): void {
    if (this.#failures.some(({ rank }) => rank === failure.rank)) return;
    this.#failures.push(failure);
    this.#collectEvidence(abortReason(failure.rank, failure.message));
  }

  /** Records that a node is lost; the first one counts. */
  lose(member: Member, end: ProcessEnd): void {
    if (member.status === 'lost' || this.options.isOver()) return;
    member.become('lost');
    this.#lost ??= { member, end };
    this.#collectEvidence(`node ${member.node} was lost: ${end.how}`);
  }

  /** Adds how a lost node's process ended, which says more than its broken session. */
  restate(member: Member, end: ProcessEnd): void {
    if (this.#lost?.member !== member) return;
    this.#lost = { member, end };
    this.#judgeIfComplete();
  }

  /** Stops waiting for evidence; no verdict follows. */
  close(): void {
    this.#isJudged = true;
    clearTimeout(this.#verdict);
  }

  #collectEvidence(reason: string): void {
    if (this.#isJudged) return;
    if (!this.hasBegun) {
      this.options.members.broadcast({ command: 'abort', abort: { reason } });
      this.#verdict = setTimeout(() => this.#judge(), this.options.evidenceWindowMs ?? GRACE.evidenceMs);
    }
    this.#judgeIfComplete();
  }

  #judgeIfComplete(): void {
    if (this.#isJudged) return;
    const { members, numNodes, workersPerNode } = this.options;
    const accounted = new Set(this.#failures.map(({ rank }) => rank));
    for (const { node, status } of members.all)
      if (status === 'lost')
        for (let local = 0; local < workersPerNode; local++) accounted.add(node * workersPerNode + local);
    if (accounted.size < numNodes * workersPerNode) return;
    if (this.#lost === null || isKnown(this.#lost.end)) this.#judge();
    else {
      clearTimeout(this.#verdict);
      this.#verdict = setTimeout(() => this.#judge(), GRACE.lostExitMs);
    }
  }

  #judge(): void {
    if (this.#isJudged) return;
    this.#isJudged = true;
    const { numNodes, workersPerNode, onVerdict } = this.options;
    const cause = rootCause({
      ...this.options,
      failures: this.#failures,
      lostNode: this.#lostNode(),
      worldSize: numNodes * workersPerNode,
    });
    onVerdict(this.#ownFault(cause) ?? cause);
  }

  /** Blames this process if it stood still, as nodes that left then are innocent, unless a signal killed one. */
  #ownFault({ error, culprit }: RootCause): RootCause | null {
    const missedMs = this.options.missedMs();
    const areNodesGone = error.code === 'NODE_LOST' || error.code === 'ABORTED';
    if (missedMs === 0 || !areNodesGone || (culprit?.signal ?? null) !== null) return null;
    return {
      error: new TrainerError(
        'NODE_LOST',
        `the coordinator stood still for ${(missedMs / 1000).toFixed(1)} s, and its nodes took it for gone (${error.line})`,
        { step: this.options.lastStep() },
      ),
      culprit: null,
    };
  }

  /** Returns the node whose agent is lost, or a silent node whose peers saw only a broken stream. */
  #lostNode(): RootCause | null {
    const [silent] = this.options.members.suspects;
    const lost = this.#lost ?? (silent && { member: silent, end: whySilent(silent) });
    if (!lost) return null;
    const { node, request } = lost.member;
    const { how, exitCode, signal } = lost.end;
    const step = this.options.lastStep();
    return {
      error: new TrainerError(
        'NODE_LOST',
        `node agent on ${request.host} (pid ${request.pid}) was lost: ${how}`,
        { node, step },
      ),
      culprit: {
        rank: null,
        node,
        pid: request.pid,
        exitCode,
        signal,
        step: step ?? null,
        layer: null,
        operation: null,
      },
    };
  }
}

function whySilent({ isStopped }: Member): ProcessEnd {
  return endUnknown(isStopped ? 'it is stopped (SIGSTOP)' : 'it does not answer');
}

function isKnown({ exitCode, signal }: ProcessEnd): boolean {
  return exitCode !== null || signal !== null;
}
