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

  /** Begins a fault, in place of one that still lasts. */
  inflict({ seconds, bytesPerS }: LinkFault): void {
    this.#carry(performance.now());
    this.#bytesPerMs = bytesPerS / 1000;
    this.#untilMs = performance.now() + 1000 * seconds;
    this.#schedule();
  }

  /** Forgets what it holds back. */
  close(): void {
    clearTimeout(this.#timer);
    for (const held of this.#busy) held.length = 0;
    this.#busy.clear();
  }

  get #share(): number {
    return this.#bytesPerMs / this.#busy.size;
  }

  /** Takes off what the link has carried up to a time. */
  #carry(toMs: number): void {
    for (const [first] of this.#busy)
      first.bytes = Math.max(0, first.bytes - (toMs - this.#servedMs) * this.#share);
    this.#servedMs = toMs;
  }

  /** What arrives next, and when; null if nothing is held. */
  #next(): { readonly held: Held[]; readonly dueMs: number } | null {
    if (this.#busy.size === 0) return null;
    const held = [...this.#busy].reduce((a, b) => (b[0]!.bytes < a[0]!.bytes ? b : a));
    const carriedMs =
      this.#share === 0 ? Number.POSITIVE_INFINITY : this.#servedMs + held[0]!.bytes / this.#share;
    return { held, dueMs: Math.min(carriedMs, this.#untilMs) };
  }

  /** Nothing is delivered within `pass`: who sends is not ready to hear an answer. */
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
      const [{ deliver }] = held.splice(0, 1);
      if (held.length === 0) this.#busy.delete(held);
      deliver();
    }
    this.#schedule();
  }
}
