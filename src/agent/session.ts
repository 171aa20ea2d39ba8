import type * as grpc from '@grpc/grpc-js';
import type { AgentEvent, CoordinatorCommand } from '../rpc/messages.js';

/** How long an agent waits for a coordinator that does not close its side. */
const CLOSE_TIMEOUT_MS = 1_000;

type SessionStream = grpc.ClientDuplexStream<AgentEvent, CoordinatorCommand>;

/** What a session tells its owner. */
export interface SessionListener {
  command(command: CoordinatorCommand): void;
  /** The coordinator is gone or ended the session; called at most once. */
  ended(reason: string): void;
}

/** The agent's side of its session with the coordinator. */
export class Session {
  readonly #stream: SessionStream;
  #open = true;

  constructor(stream: SessionStream, listener: SessionListener) {
    this.#stream = stream;
    const end = (reason: string) => {
      if (!this.#open) return;
      this.#open = false;
      listener.ended(reason);
    };
    stream.on('data', (command: CoordinatorCommand) => listener.command(command));
    stream.on('error', (error) => end(error.message));
    stream.on('end', () => end('the coordinator ended the session'));
  }

  /** False while the coordinator has not read what was sent before. */
  get isReady(): boolean {
    return this.#open && !this.#stream.writableNeedDrain;
  }

  send(event: AgentEvent): void {
    if (this.#open) this.#stream.write(event);
  }

  /**
   * Closes our side after everything sent so far, without a call to `ended`. Resolves once the coordinator
   * has closed its own: it has then read everything, and this process may exit.
   */
  close(): Promise<void> {
    if (!this.#open) return Promise.resolve();
    this.#open = false;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
      this.#stream.once('status', () => {
        clearTimeout(timer);
        resolve();
      });
      this.#stream.end();
    });
  }
}
