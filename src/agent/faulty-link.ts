import type { LinkFault } from '../rpc/messages.js';

interface Held {
  /** Still to pass. */
  bytes: number;
  readonly deliver: () => void;
}

/** One connection of a node, whose messages stay in order. */
export interface FaultyConnection {
  pass(bytes: number, deliver: () => void): void;
}

/**
 * What a node exchanges with its peers and the coordinator, where faults may be injected (`--allow-faults`): passed on
 * at once, or while a fault lasts held back or slowed down. As on a cut or slow cable under TCP each connection keeps
 * its order, and those that have something to send share what the cable carries: a heartbeat does not wait for all that
 * is exchanged.
 */
export class FaultyLink {
  /** What is held back, of each connection that has something. */
  readonly #busy = new Set<Held[]>();
  #bytesPerMs = 0;
  #untilMs = Number.NEGATIVE_INFINITY;
  /** Until when what the link carries is taken off what is held. */
  #servedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isServing = false;

  connection(): FaultyConnection {
    const held: Held[] = [];
    return {
      pass: (bytes, deliver) => {
        this.#serve();
        if (held.length === 0 && performance.now() >= this.#untilMs) {
          deliver();
          return;
        }
        if (this.#busy.size === 0) this.#servedMs = performance.now();
        held.push({ bytes, deliver });
        this.#busy.add(held);
        this.#serve();
      },
    };
  }

  /** Begins a fault, in place of one that still lasts. */
  inflict({ seconds, bytesPerS }: LinkFault): void {
    this.#serve();
    this.#bytesPerMs = bytesPerS / 1000;
    this.#untilMs = performance.now() + 1000 * seconds;
    this.#serve();
  }

  /** Forgets what it holds back. */
  close(): void {
    clearTimeout(this.#timer);
    for (const held of this.#busy) held.length = 0;
    this.#busy.clear();
  }

  /** Delivers what has passed by now, and comes again when more has. */
  #serve(): void {
    // What is being delivered passes on more; the next of its connection waits until it is done.
    if (this.#isServing) return;
    this.#isServing = true;
    try {
      this.#deliverDue();
    } finally {
      this.#isServing = false;
    }
  }

  #deliverDue(): void {
    clearTimeout(this.#timer);
    while (this.#busy.size > 0) {
      const share = this.#bytesPerMs / this.#busy.size;
      const next = [...this.#busy].reduce((a, b) => (b[0].bytes < a[0].bytes ? b : a));
      const passedMs = share === 0 ? Number.POSITIVE_INFINITY : this.#servedMs + next[0].bytes / share;
      const dueMs = Math.min(passedMs, this.#untilMs);
      const now = performance.now();
      const toMs = Math.min(dueMs, now);
      for (const [first] of this.#busy) first.bytes -= (toMs - this.#servedMs) * share;
      this.#servedMs = toMs;
      if (dueMs > now) {
        this.#timer = setTimeout(() => this.#serve(), dueMs - now);
        return;
      }
      const [{ deliver }] = next.splice(0, 1);
      if (next.length === 0) this.#busy.delete(next);
      deliver();
    }
  }
}
