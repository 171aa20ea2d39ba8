import type { CoordinatorClient, MemberIdentity } from '../rpc/coordinator-client.js';
import type { AgentEvent, CoordinatorCommand } from '../rpc/messages.js';
import type { FaultyLink } from './faulty-link.js';
import { Outbox } from './outbox.js';
import { Session } from './session.js';

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 1_000;
/** For a coordinator to take a session; one that is stopped lets it wait. */
const ACCEPT_MS = 3_000;

export interface LastingSessionOptions {
  /** Open; the owner closes it. */
  readonly client: CoordinatorClient;
  readonly member: Required<MemberIdentity>;
  /** How long to wait for a coordinator that is gone; 0 for not at all. */
  readonly waitMs: number;
  /** As of Session. */
  readonly link?: FaultyLink | null | undefined;
  readonly listener: LastingSessionListener;
}

export interface LastingSessionListener {
  command(command: CoordinatorCommand): void;
  /** The coordinator is gone; is another one to be waited for? */
  lost(reason: string): boolean;
  /** A coordinator is there again, and has been told what the one before may not have recorded. */
  returned(): void;
  /** The coordinator has no use for this member any more; nothing more comes. */
  refused(reason: string): void;
  /** No coordinator came in time; nothing more comes. */
  ended(reason: string): void;
}

/**
 * The agent's side of its sessions with the coordinators of a generation, one after another: when the session breaks it
 * looks for the coordinator that takes the run over, at the same address, and reports again what may be lost.
 */
export class LastingSession {
  readonly #options: LastingSessionOptions;
  readonly #outbox = new Outbox();
  /** The highest that was heard of; one of an earlier term, which was only stopped, leads no more. */
  #term: number;
  /** Null while there is no coordinator. */
  #session: Session | null;
  /** Of the try that is under way, or awaited. */
  #abandon: () => void = () => undefined;
  #lostMs = 0;
  #isOver = false;

  constructor(options: LastingSessionOptions) {
    this.#options = options;
    this.#term = options.member.term;
    this.#session = this.#open(options.client, {
      accepted: (term) => {
        this.#term = Math.max(term, this.#term);
      },
      ended: (reason, isRefusal) => this.#lose(reason, isRefusal),
    });
  }

  /** False while the coordinator has not read what was sent before, and while there is none. */
  get isReady(): boolean {
    return this.#session?.isReady ?? false;
  }

  /** Sends an event; while there is no coordinator, keeps what must not be lost. */
  send(event: AgentEvent): void {
    if (this.#options.waitMs > 0) this.#outbox.add(event);
    this.#session?.send(event);
  }

  /** As of Session; a coordinator that is gone is looked for no more. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.#session?.close();
    this.#abandon();
  }

  #open(
    client: CoordinatorClient,
    listener: { accepted(term: number): void; ended(reason: string, isRefusal: boolean): void },
  ): Session {
    const { member, link } = this.#options;
    const command = (said: CoordinatorCommand) => {
      if (this.#outbox.hear(said)) this.#options.listener.command(said);
    };
    return new Session(client.session({ ...member, term: this.#term }), { ...listener, command }, link);
  }

  #lose(reason: string, isRefusal: boolean): void {
    const { waitMs, listener } = this.#options;
    this.#session = null;
    if (this.#isOver) return;
    if (waitMs === 0) this.#end(() => listener.ended(reason));
    else if (isRefusal) this.#end(() => listener.refused(reason));
    else if (listener.lost(reason)) {
      this.#lostMs = performance.now();
      this.#tryAgain(reason, FIRST_RETRY_MS);
    } else this.#isOver = true;
  }

  /** Looks for a coordinator after a while, unless it is too late. */
  #tryAgain(reason: string, delayMs: number): void {
    const { waitMs, listener } = this.#options;
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
    const { listener, client: first } = this.#options;
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
