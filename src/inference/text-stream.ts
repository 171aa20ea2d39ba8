import type { Tokenizer } from '../data/tokenizer/tokenizer.js';

/**
 * Turns tokens into text as they come. Holds back the bytes of an unfinished character, and text that may
 * begin a stop text, until later tokens decide. Joined, the pieces are what `Tokenizer.decode` returns for
 * all tokens, cut before the first stop text.
 */
export class TextStream {
  readonly #stops: readonly string[];
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  #held = '';
  #stopped = false;

  /** @param stops texts that end the output; empty ones are ignored */
  constructor(
    private readonly tokenizer: Tokenizer,
    stops: readonly string[],
  ) {
    this.#stops = stops.filter((stop) => stop.length > 0);
  }

  /** Whether a stop text has come; no text follows it. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Adds a token; returns the text that has become certain. */
  push(tokenId: number): string {
    return this.#take(this.#utf8.decode(this.tokenizer.bytes([tokenId]), { stream: true }));
  }

  /** Returns the rest; an unfinished character becomes U+FFFD. */
  end(): string {
    const text = this.#take(this.#utf8.decode());
    const rest = this.#stopped ? '' : this.#held;
    this.#held = '';
    return text + rest;
  }

  #take(text: string): string {
    if (this.#stopped) return '';
    const known = this.#held + text;
    const found = this.#stops.map((stop) => known.indexOf(stop)).filter((index) => index >= 0);
    this.#stopped = found.length > 0;
    const certain = this.#stopped ? Math.min(...found) : known.length - this.#undecided(known);
    this.#held = this.#stopped ? '' : known.slice(certain);
    return known.slice(0, certain);
  }

  /** Returns the length of the longest suffix of the text that begins a stop text. */
  #undecided(text: string): number {
    const longest = (stop: string) => {
      for (let length = Math.min(stop.length - 1, text.length); length > 0; length--)
        if (text.endsWith(stop.slice(0, length))) return length;
      return 0;
    };
    return Math.max(0, ...this.#stops.map(longest));
  }
}
