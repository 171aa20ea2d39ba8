import { parseLinePattern } from './pattern.js';
import { type LineTest, TextTest } from './text-test.js';

/**
 * `|> "<_> 200"`: the texts of a pattern follow each other in the line, with something between them for each
 * `<_>`. As in Loki anything may come before a text at the start of the pattern, and nothing after one at its
 * end.
 */
export class LinePatternTest implements LineTest {
  readonly needle: Buffer | null;
  readonly #texts: readonly Buffer[];
  readonly #beginsWithText: boolean;
  readonly #endsWithText: boolean;
  /** Test for the longest of the texts. */
  readonly #sieve: TextTest | null;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(pattern: string) {
    const parts = parseLinePattern(pattern, (message) => {
      throw new Error(message);
    });
    const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
    this.#texts = texts.map((text) => Buffer.from(text));
    this.#beginsWithText = parts.length === 0 || 'text' in parts[0]!;
    this.#endsWithText = parts.length === 0 || 'text' in parts[parts.length - 1]!;
    const [longest] = texts.sort((a, b) => b.length - a.length);
    this.#sieve = longest === undefined ? null : new TextTest(longest);
    this.needle = this.#sieve?.needle ?? null;
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#sieve?.begin(bytes);
  }

  mayPass(): boolean {
    return this.#sieve?.mayPass() ?? true;
  }

  passes(from: number, to: number): boolean {
    if (this.#sieve?.passes(from, to) === false) return false;
    const line = this.#bytes.subarray(from, to);
    let at = 0;
    for (const [i, text] of this.#texts.entries()) {
      const found = line.indexOf(text, at);
      const mayBeBeside = i === 0 && this.#beginsWithText;
      if (found < 0 || (found === at && !mayBeBeside)) return false;
      at = found + text.length;
    }
    return (at === line.length) === this.#endsWithText;
  }
}
