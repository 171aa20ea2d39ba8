import { hostname } from 'node:os';
import { TrainerError } from '../errors.js';
import { processInfo } from '../os/process-info.js';
import type { CoordinatorCommand, JoinRequest } from '../rpc/messages.js';

/** A node's open session, as the run sees it. */
export interface SessionLink {
  send(command: CoordinatorCommand): void;
  /** Ends the session; no event comes any more. */
  close(): void;
}

/**
 * The life of a member.
 *
 * `joined`: has a node id. `connected`: has a session. `ready`: its workers wait for `begin`. `finished`:
 * they ended well. `left`: it closed its session in order after an abort. `lost`: its session broke, its
 * process ended or it fell silent; one that was only frozen may still finish or leave.
 */
export type MemberStatus = 'joined' | 'connected' | 'ready' | 'finished' | 'left' | 'lost';

/** What may follow each status. */
const NEXT: Readonly<Record<MemberStatus, readonly MemberStatus[]>> = {
  joined: ['connected', 'lost'],
  connected: ['ready', 'left', 'lost'],
  ready: ['finished', 'left', 'lost'],
  finished: [],
  left: [],
  lost: ['finished', 'left'],
};

/** A node of a run. */
export class Member {
  session: SessionLink | null = null;
  /** By `performance.now()`. */
  heardOfMs = performance.now();
  /** Its session is not its first: it may say again what was heard before. */
  hasReturned = false;
  #status: MemberStatus = 'joined';

  constructor(
    readonly node: number,
    readonly request: JoinRequest,
  ) {}

  get status(): MemberStatus {
    return this.#status;
  }

  /** Nothing more is expected of it. */
  get isDone(): boolean {
    return this.#status === 'finished' || this.#status === 'left';
  }

  /** It trains without a session, and is to open another. */
  get isAwaited(): boolean {
    return this.#status === 'ready' && this.session === null;
  }

  /** True if a signal stopped its process; false on another machine, which cannot be seen. */
  get isStopped(): boolean {
    const { host, pid } = this.request;
    return host === hostname() && processInfo(pid).state === 'T';
  }

  /** @throws TrainerError `BAD_MESSAGE` if that cannot follow: only what a node says can bring it about */
  become(status: MemberStatus): void {
    if (!NEXT[this.#status].includes(status))
      throw new TrainerError(
        'BAD_MESSAGE',
        `node ${this.node} cannot become ${status}: it is ${this.#status}`,
      );
    this.#status = status;
  }
}
