const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** An error that says why a text is not JSON. */
export class JsonError extends Error {}

/**
 * Reads JSON from left to right. Unlike `JSON.parse`, it returns numbers as they are written, duplicate keys
 * in order, and what precedes an error.
 */
export class JsonScanner {
  #at = 0;

  constructor(private readonly text: string) {}

  /** The first character of the next value. */
  get next(): string {
    this.#skipSpace();
    return this.text[this.#at] ?? '';
  }

  /**
   * Reads an object; `visit` must read the value of each key, and may return false to stop there.
   *
   * @throws JsonError
   */
  object(visit: (key: string) => unknown): void {
    this.#expect('{');
    if (this.#accept('}')) return;
    do {
      const key = this.string();
      this.#expect(':');
      if (visit(key) === false) return;
    } while (this.#accept(','));
    this.#expect('}');
  }

  /** Scans the values of an array. @throws JsonError */
  array(visit: (index: number) => unknown): void {
    this.#expect('[');
    if (this.#accept(']')) return;
    let index = 0;
    do if (visit(index++) === false) return;
    while (this.#accept(','));
    this.#expect(']');
  }

  /** Reads a string; empty if its escapes are malformed. @throws JsonError */
  string(): string {
    const raw = this.#rawString();
    if (!raw.includes('\\')) return raw.slice(1, -1);
    try {
      return JSON.parse(raw);
    } catch {
      return '';
    }
  }

  /** Reads any value and returns its text: a string's content, anything else as written. @throws JsonError */
  value(): string {
    const { next } = this;
    if (next === '"') return this.string();
    return next === '{' || next === '[' ? this.#nested() : this.#word();
  }

  #nested(): string {
    const start = this.#at;
    let depth = 0;
    do {
      const { next } = this;
      if (next === '') throw new JsonError('unexpected end of the line');
      if (next === '"') {
        this.#rawString();
        continue;
      }
      this.#at++;
      if (next === '{' || next === '[') depth++;
      else if (next === '}' || next === ']') depth--;
    } while (depth > 0);
    return this.text.slice(start, this.#at);
  }

  /** Reads a number, `true`, `false` or `null`. */
  #word(): string {
    WORD.lastIndex = this.#at;
    const word = WORD.exec(this.text)?.[0];
    if (word === undefined) throw this.#unexpected();
    this.#at += word.length;
    return word;
  }

  #rawString(): string {
    if (this.next !== '"') throw this.#unexpected();
    const start = this.#at;
    for (let i = start + 1; ; i++) {
      const code = this.text.charCodeAt(i);
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) {
        this.#at = i + 1;
        return this.text.slice(start, this.#at);
      } else if (Number.isNaN(code)) throw new JsonError('a string without its end');
    }
  }

  #skipSpace(): void {
    while (this.text.charCodeAt(this.#at) <= SPACE) this.#at++;
  }

  #accept(character: string): boolean {
    if (this.next !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) throw this.#unexpected();
  }

  #unexpected(): JsonError {
    const { next } = this;
    const found = next === '' ? 'end of the line' : next;
    return new JsonError(`unexpected ${found} at character ${this.#at + 1}`);
  }
}

const WORD = /(?:-?\d[\d.eE+-]*|true|false|null)(?=[\s,\]}]|$)/y;
