import * as grpc from '@grpc/grpc-js';
import { GRACE } from '../config/timeouts.js';
import type { AgentEvent, CoordinatorCommand } from '../rpc/generated/messages.js';
import type { FaultyConnection, FaultyLink } from './faulty-link.js';

/** Approximate size of a message of the session on a slow link. */
const MESSAGE_BYTES = 300;

/** Statuses that only a live coordinator returns; all others are connection errors. */
const REFUSALS: readonly grpc.status[] = [
  grpc.status.FAILED_PRECONDITION,
  grpc.status.INVALID_ARGUMENT,
  grpc.status.RESOURCE_EXHAUSTED,
  grpc.status.UNAUTHENTICATED,
];

type SessionStream = grpc.ClientDuplexStream<AgentEvent, CoordinatorCommand>;

/** Callbacks of a session to its owner. */
export interface SessionListener {
  command(command: CoordinatorCommand): void;
  /** Called when the coordinator has accepted the session, with its term. */
  accepted?(term: number): void;
  /** Called at most once, when the coordinator is gone, or has ended or refused the session. */
  ended(reason: string, isRefusal: boolean): void;
}

/** The agent's side of its session with the coordinator. */
export class Session {
  readonly #link: FaultyConnection | null;
  #open = true;

  /** @param link injects faults into all messages; null for none */
  constructor(
    private readonly stream: SessionStream,
    listener: SessionListener,
    link: FaultyLink | null = null,
  ) {
    this.#link = link?.connection() ?? null;
    const end = (reason: string, isRefusal: boolean) => {
      if (!this.#open) return;
      this.#open = false;
      listener.ended(reason, isRefusal);
    };
    stream.on('metadata', (metadata) => listener.accepted?.(Number(metadata.get('term')[0] ?? 0)));
    stream.on('data', (command: CoordinatorCommand) => this.#pass(() => listener.command(command)));
    stream.on('error', (error: grpc.ServiceError) => end(error.message, REFUSALS.includes(error.code)));
    stream.on('end', () => end('the coordinator ended the session', true));
  }

  /** False while the coordinator has not read earlier events. */
  get isReady(): boolean {
    return this.#open && !this.stream.writableNeedDrain;
  }

  send(event: AgentEvent): void {
    this.#pass(() => this.stream.write(event));
  }

  #pass(say: () => void): void {
    const sayIfOpen = () => this.#open && say();
    if (this.#link === null) sayIfOpen();
    else this.#link.pass(MESSAGE_BYTES, sayIfOpen);
  }

  /** Ends the session at once, without a call to `ended`. */
  cancel(): void {
    this.#open = false;
    this.stream.cancel();
  }

  /**
   * Closes our side after everything sent so far, without a call to `ended`. Resolves once the coordinator
   * has closed its own: it has then read everything, and this process may exit.
   */
  close(): Promise<void> {
    if (!this.#open) return Promise.resolve();
    this.#open = false;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, GRACE.closeMs);
      this.stream.once('status', () => {
        clearTimeout(timer);
        resolve();
      });
      this.stream.end();
    });
  }
}
