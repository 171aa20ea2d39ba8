import { hostname } from 'node:os';
import { TrainerError } from '../errors.js';
import { processInfo } from '../os/process-info.js';
import type { CoordinatorCommand, JoinRequest } from '../rpc/generated/messages.js';

/** Open session of a node, as the run uses it. */
export interface SessionLink {
  send(command: CoordinatorCommand): void;
  /** Ends the session; no event follows. */
  close(): void;
}

/**
 * Lifecycle of a member.
 *
 * `joined`: has a node id. `connected`: has a session. `ready`: its workers wait for `begin`. `finished`: its
 * workers ended well. `left`: it closed its session properly after an abort. `lost`: its session broke, its
 * process ended or it fell silent; a lost member that was only suspended may still finish or leave.
 */
export type MemberStatus = 'joined' | 'connected' | 'ready' | 'finished' | 'left' | 'lost';

/** Allowed transitions. */
const NEXT: Readonly<Record<MemberStatus, readonly MemberStatus[]>> = {
  joined: ['connected', 'lost'],
  connected: ['ready', 'left', 'lost'],
  ready: ['finished', 'left', 'lost'],
  finished: [],
  left: [],
  lost: ['finished', 'left'],
};

/** A node of a run, from joining to leaving. */
export class Member {
  session: SessionLink | null = null;
  /** Time of the last message, by `performance.now()`. */
  heardOfMs = performance.now();
  /** True once the member has opened another session: it may repeat events that were already received. */
  hasReturned = false;
  #status: MemberStatus = 'joined';

  constructor(
    readonly node: number,
    readonly request: JoinRequest,
  ) {}

  get status(): MemberStatus {
    return this.#status;
  }

  /** True if nothing more is expected of the member. */
  get isDone(): boolean {
    return this.#status === 'finished' || this.#status === 'left';
  }

  /** True if the member trains without a session and is expected to open another one. */
  get isAwaited(): boolean {
    return this.#status === 'ready' && this.session === null;
  }

  /** True if a signal stopped the member's process; false on another machine, where that cannot be seen. */
  get isStopped(): boolean {
    const { host, pid } = this.request;
    return host === hostname() && processInfo(pid).state === 'T';
  }

  /** @throws TrainerError `BAD_MESSAGE` if the transition is not allowed, which only a message of the node can cause */
  become(status: MemberStatus): void {
    if (!NEXT[this.#status].includes(status))
      throw new TrainerError(
        'BAD_MESSAGE',
        `node ${this.node} cannot become ${status}: it is ${this.#status}`,
      );
    this.#status = status;
  }
}
