import type { LinkFault } from '../rpc/generated/messages.js';

interface Held {
  /** Bytes that the link has yet to carry. */
  bytes: number;
  readonly deliver: () => void;
}

/** One connection of a node; its messages stay in order. */
export interface FaultyConnection {
  pass(bytes: number, deliver: () => void): void;
}

/**
 * Traffic of a node with its peers and the coordinator, into which faults may be injected (`--allow-faults`): messages
 * are delivered at once or, during a fault, delayed. As on a cut or slow cable under TCP, each connection keeps its
 * order, and the connections with data to send share the bandwidth: a heartbeat does not wait behind all other traffic.
 */
export class FaultyLink {
  /** Queues of the connections that have messages held back. */
  readonly #busy = new Set<Held[]>();
  #bytesPerMs = 0;
  #untilMs = Number.NEGATIVE_INFINITY;
  /** Time up to which carried bytes have been subtracted from `#busy`. */
  #servedMs = 0;
  #timer: NodeJS.Timeout | undefined;

  connection(): FaultyConnection {
    const held: Held[] = [];
    return {
      pass: (bytes, deliver) => {
        if (held.length === 0 && performance.now() >= this.#untilMs) {
          deliver();
          return;
        }
        this.#carry(performance.now());
        held.push({ bytes, deliver });
        this.#busy.add(held);
        this.#schedule();
      },
    };
  }

  /** Begins a fault, which replaces one that still lasts. */
  inflict({ seconds, bytesPerS }: LinkFault): void {
    this.#carry(performance.now());
    this.#bytesPerMs = bytesPerS / 1000;
    this.#untilMs = performance.now() + 1000 * seconds;
    this.#schedule();
  }

  /** Drops all messages that are held back. */
  close(): void {
    clearTimeout(this.#timer);
    for (const held of this.#busy) held.length = 0;
    this.#busy.clear();
  }

  get #share(): number {
    return this.#bytesPerMs / this.#busy.size;
  }

  /** Subtracts the bytes that the link has carried up to the given time. */
  #carry(toMs: number): void {
    for (const [first] of this.#busy as Set<[Held, ...Held[]]>)
      first.bytes = Math.max(0, first.bytes - (toMs - this.#servedMs) * this.#share);
    this.#servedMs = toMs;
  }

  /** Returns the queue whose message is delivered next, and when; null if nothing is held. */
  #next(): { readonly held: Held[]; readonly dueMs: number } | null {
    if (this.#busy.size === 0) return null;
    const held = [...this.#busy].reduce((a, b) => (b[0]!.bytes < a[0]!.bytes ? b : a));
    const carriedMs =
      this.#share === 0 ? Number.POSITIVE_INFINITY : this.#servedMs + held[0]!.bytes / this.#share;
    return { held, dueMs: Math.min(carriedMs, this.#untilMs) };
  }

  /** Sets a timer for the next delivery, never made within `pass`, where the sender is not ready for an answer. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const next = this.#next();
    if (next === null) return;
    this.#timer = setTimeout(() => this.#deliverDue(), Math.max(0, next.dueMs - performance.now()));
  }

  #deliverDue(): void {
    for (let next = this.#next(); next !== null && next.dueMs <= performance.now(); next = this.#next()) {
      const { held, dueMs } = next;
      this.#carry(dueMs);
      const { deliver } = held.shift()!;
      if (held.length === 0) this.#busy.delete(held);
      deliver();
    }
    this.#schedule();
  }
}
