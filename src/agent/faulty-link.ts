import type { LinkFault } from '../rpc/messages.js';

interface Held {
  readonly bytes: number;
  readonly deliver: () => void;
}

/**
 * What a node exchanges with its peers and the coordinator, where faults may be injected (`--allow-faults`): passed on
 * at once, or while a fault lasts held back or slowed down, in order, as a cut or slow cable would under TCP.
 */
export class FaultyLink {
  readonly #held: Held[] = [];
  #bytesPerMs = 0;
  #untilMs = Number.NEGATIVE_INFINITY;
  /** When the bytes before have passed. */
  #freeAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  pass(bytes: number, deliver: () => void): void {
    if (this.#held.length === 0 && performance.now() >= this.#untilMs) {
      deliver();
      return;
    }
    this.#held.push({ bytes, deliver });
    if (this.#held.length > 1) return;
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now());
    this.#drain();
  }

  /** Begins a fault, in place of one that still lasts. */
  inflict({ seconds, bytesPerS }: LinkFault): void {
    this.#bytesPerMs = bytesPerS / 1000;
    this.#untilMs = performance.now() + 1000 * seconds;
    this.#freeAtMs = performance.now();
    this.#drain();
  }

  /** Forgets what it holds back. */
  close(): void {
    clearTimeout(this.#timer);
    this.#held.length = 0;
  }

  #drain(): void {
    clearTimeout(this.#timer);
    while (this.#held.length > 0) {
      const [{ bytes, deliver }] = this.#held;
      const dueMs = Math.min(this.#freeAtMs + bytes / this.#bytesPerMs, this.#untilMs);
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#drain(), waitMs);
        return;
      }
      this.#held.shift();
      this.#freeAtMs = dueMs;
      deliver();
    }
  }
}
