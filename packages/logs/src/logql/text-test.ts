import type { LineSieve } from '../store/log-reader.js';

/** Line filters on bytes. */
export interface LineTest extends LineSieve {
  /** Whether the line passes. Lines must be tested in buffer order. */
  passes(from: number, to: number): boolean;
}

/** Keeps the next occurrence, so that a buffer is searched once for all its lines. */
export class TextTest implements LineTest {
  readonly needle: Buffer;
  #bytes: Buffer = Buffer.alloc(0);
  #next = 0;

  constructor(text: string) {
    this.needle = Buffer.from(text);
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#next = -1;
  }

  mayPass(): boolean {
    return this.passes(0, this.#bytes.length);
  }

  passes(from: number, to: number): boolean {
    if (this.#next < from) {
      const next = this.#bytes.indexOf(this.needle, from);
      this.#next = next < 0 ? Number.POSITIVE_INFINITY : next;
    }
    return this.#next + this.needle.length <= to;
  }
}
