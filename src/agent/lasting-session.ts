import type { CoordinatorClient, MemberIdentity } from '../rpc/coordinator-client.js';
import type { AgentEvent, CoordinatorCommand } from '../rpc/generated/messages.js';
import type { FaultyLink } from './faulty-link.js';
import { Outbox } from './outbox.js';
import { Session } from './session.js';

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 1_000;
/** Time for a coordinator to accept a session; a suspended one never answers. */
const ACCEPT_MS = 3_000;

export interface LastingSessionOptions {
  /** Connected client; the owner closes it. */
  readonly client: CoordinatorClient;
  readonly member: Required<MemberIdentity>;
  /** How long to wait for another coordinator; 0 disables the wait. */
  readonly waitMs: number;
  /** Injects faults into the session; see Session. */
  readonly link?: FaultyLink | null | undefined;
  readonly listener: LastingSessionListener;
}

export interface LastingSessionListener {
  command(command: CoordinatorCommand): void;
  /** Called when the coordinator is gone; returns whether to wait for another one. */
  lost(reason: string): boolean;
  /** Called when a coordinator has accepted the session again, and unrecorded reports were repeated to it. */
  returned(): void;
  /** Called when the coordinator has refused this member; nothing follows. */
  refused(reason: string): void;
  /** Called when no coordinator came in time; nothing follows. */
  ended(reason: string): void;
}

/**
 * The agent's side of its successive sessions with the coordinators of a generation. When a session breaks it looks for
 * the coordinator that takes the run over, at the same address, and repeats the reports that may be lost.
 */
export class LastingSession {
  readonly #outbox = new Outbox();
  /** Highest term seen; a coordinator of an earlier term was suspended in the meantime, and no longer leads. */
  #term: number;
  /** Open session; null while there is no coordinator. */
  #session: Session | null;
  /** Cancels the attempt that is under way or scheduled. */
  #abandon: () => void = () => undefined;
  #lostMs = 0;
  #isOver = false;

  constructor(private readonly options: LastingSessionOptions) {
    this.#term = options.member.term;
    this.#session = this.#open(options.client, {
      accepted: (term) => {
        this.#term = Math.max(term, this.#term);
      },
      ended: (reason, isRefusal) => this.#lose(reason, isRefusal),
    });
  }

  /** False while the coordinator has not read earlier events, and while there is no coordinator. */
  get isReady(): boolean {
    return this.#session?.isReady ?? false;
  }

  /** Sends an event; without a coordinator, keeps it if it must not be lost. */
  send(event: AgentEvent): void {
    if (this.options.waitMs > 0) this.#outbox.add(event);
    this.#session?.send(event);
  }

  /** Closes the session as Session does, and stops looking for a coordinator. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.#session?.close();
    this.#abandon();
  }

  #open(
    client: CoordinatorClient,
    listener: { accepted(term: number): void; ended(reason: string, isRefusal: boolean): void },
  ): Session {
    const { member, link } = this.options;
    const command = (said: CoordinatorCommand) => {
      if (this.#outbox.hear(said)) this.options.listener.command(said);
    };
    return new Session(client.session({ ...member, term: this.#term }), { ...listener, command }, link);
  }

  #lose(reason: string, isRefusal: boolean): void {
    const { waitMs, listener } = this.options;
    this.#session = null;
    if (this.#isOver) return;
    if (waitMs === 0) this.#end(() => listener.ended(reason));
    else if (isRefusal) this.#end(() => listener.refused(reason));
    else if (listener.lost(reason)) {
      this.#lostMs = performance.now();
      this.#tryAgain(reason, FIRST_RETRY_MS);
    } else this.#isOver = true;
  }

  /** Schedules another attempt to find a coordinator, unless the time is up. */
  #tryAgain(reason: string, delayMs: number): void {
    const { waitMs, listener } = this.options;
    if (this.#isOver) return;
    const waitedMs = performance.now() - this.#lostMs;
    if (this.#outbox.isFull)
      this.#end(() => listener.ended(`${reason}; more steps than can be kept were done since`));
    else if (waitedMs + delayMs > waitMs)
      this.#end(() =>
        listener.ended(`${reason}; none came within ${waitMs / 1000} s (cluster.coordinatorTimeoutS)`),
      );
    else {
      const timer = setTimeout(() => this.#try(Math.min(2 * delayMs, LAST_RETRY_MS)), delayMs);
      this.#abandon = () => clearTimeout(timer);
    }
  }

  #try(nextDelayMs: number): void {
    const { listener, client: first } = this.options;
    const client = first.renewed();
    if (client === null) {
      this.#tryAgain('no coordinator of this user listens', nextDelayMs);
      return;
    }
    let isTaken = false;
    const giveUp = (reason: string) => {
      session.cancel();
      this.#abandon();
      this.#tryAgain(reason, nextDelayMs);
    };
    const session = this.#open(client, {
      accepted: (term) => {
        if (term < this.#term) {
          giveUp(`the coordinator of term ${term} was replaced by that of term ${this.#term}`);
          return;
        }
        isTaken = true;
        clearTimeout(timer);
        this.#term = term;
        this.#session = session;
        for (const event of this.#outbox.events) session.send(event);
        listener.returned();
      },
      ended: (reason, isRefusal) => {
        this.#abandon();
        if (isTaken) this.#lose(reason, isRefusal);
        else if (isRefusal) this.#end(() => listener.refused(reason));
        else this.#tryAgain(reason, nextDelayMs);
      },
    });
    const timer = setTimeout(() => giveUp('the coordinator does not answer'), ACCEPT_MS);
    this.#abandon = () => {
      clearTimeout(timer);
      if (!isTaken) session.cancel();
      client.close();
    };
  }

  #end(tell: () => void): void {
    this.#isOver = true;
    tell();
  }
}
