import type { Operation } from '@locmoe/run-format/operations';
import type { IncomingMessage, OutgoingMessage } from './message.js';
import type { PendingTransfer } from './transport.js';

/** A started transfer: its incomplete messages. */
export class InFlight implements PendingTransfer {
  readonly outgoing: OutgoingMessage[] = [];
  readonly incoming: IncomingMessage[] = [];
  hasReceived = false;
  /** Ticket of the transfer in the flight ring. */
  ticket = 0;
  /** Time in ms for which the rank slept or yielded its core during the transfer, because nothing moved. */
  waitMs = 0;

  constructor(
    readonly operation: Operation,
    readonly sequence: number,
    readonly step: number,
    /** Time of the start by `performance.now()`. */
    readonly startedMs: number,
    private readonly drive: (transfer: InFlight) => void,
  ) {}

  get done(): boolean {
    return this.outgoing.length + this.incoming.length === 0;
  }

  /** The only rank that is still waited for; -1 if there are several. */
  get lastPeer(): number {
    const missing = this.incoming.length > 0 ? this.incoming : this.outgoing;
    return missing.length === 1 ? missing[0]!.peer : -1;
  }

  finish(): void {
    this.drive(this);
  }
}

/**
 * Moves what can be moved, removes complete messages from the list, and returns the bytes moved.
 *
 * @param busy by peer: set while an earlier message to or from that peer is incomplete; later messages wait
 */
export function progressAll(messages: (OutgoingMessage | IncomingMessage)[], busy: Uint8Array): number {
  let moved = 0;
  let kept = 0;
  for (const message of messages) {
    if (busy[message.peer] === 0) {
      moved += message.progress();
      if (message.done) continue;
      busy[message.peer] = 1;
    }
    messages[kept++] = message;
  }
  messages.length = kept;
  return moved;
}
