import { LogsError } from '../../errors.js';
import { complement, normalize, type Range, type Regex } from './syntax.js';

const DIGIT: Range[] = [[0x30, 0x39]];
const SPACE: Range[] = [
  [0x09, 0x0a],
  [0x0c, 0x0d],
  [0x20, 0x20],
];
const WORD: Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const NEWLINE: Range[] = [[0x0a, 0x0a]];
const CLASS_ESCAPES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGIT,
  s: SPACE,
  w: WORD,
  D: complement(DIGIT),
  S: complement(SPACE),
  W: complement(WORD),
};
const POSIX_CLASSES: Readonly<Record<string, readonly Range[]>> = {
  digit: DIGIT,
  space: SPACE,
  word: WORD,
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  upper: [[0x41, 0x5a]],
  lower: [[0x61, 0x7a]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
};
const CHARACTER_ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7 };
const ASSERTIONS = { b: 'boundary', B: 'no-boundary', A: 'start', z: 'end' } as const;
/** As RE2. */
const MAX_REPEAT = 1_000;
const MAX_DEPTH = 200;

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
}

/**
 * Parses the syntax of RE2 (which is Loki's) for matches on one line: everything that a finite automaton can do. What
 * one cannot do (back references, looking around) RE2 has not either.
 *
 * @throws LogsError `BAD_INPUT` that names what is wrong or not supported, and where
 */
export function parseRegex(pattern: string): Regex {
  return new RegexParser(pattern).parse();
}

class RegexParser {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;
  #flags: Flags = { ignoreCase: false, dotAll: false };

  constructor(readonly pattern: string) {
    this.#characters = [...pattern];
  }

  parse(): Regex {
    const regex = this.#choice();
    if (this.#at < this.#characters.length) this.#refuse('unexpected )');
    return regex;
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#characters[this.#at + i] !== text[i]) return false;
    this.#at += text.length;
    return true;
  }

  #refuse(why: string): never {
    throw new LogsError(
      'BAD_INPUT',
      `regular expression ${JSON.stringify(this.pattern.slice(0, 100))}, character ${this.#at + 1}: ${why}`,
    );
  }

  #choice(): Regex {
    if (++this.#depth > MAX_DEPTH) this.#refuse('nested too deeply');
    const items = [this.#sequence()];
    while (this.#take('|')) items.push(this.#sequence());
    this.#depth--;
    return items.length === 1 ? items[0] : { kind: 'choice', items };
  }

  #sequence(): Regex {
    const items: Regex[] = [];
    while (this.#next !== undefined && this.#next !== '|' && this.#next !== ')') {
      const item = this.#repeated();
      if (item !== null) items.push(item);
    }
    return items.length === 1 ? items[0] : { kind: 'sequence', items };
  }

  /** Null for what only sets flags. */
  #repeated(): Regex | null {
    const item = this.#atom();
    if (item === null) return null;
    const bounds = this.#bounds();
    if (bounds === null) return item;
    // Lazy or greedy: only the match counts, not what it spans.
    this.#take('?');
    if (this.#next !== undefined && '*+?'.includes(this.#next))
      this.#refuse(`invalid nested repetition operator ${this.#next}`);
    return { kind: 'repeat', item, min: bounds[0], max: bounds[1] };
  }

  #bounds(): readonly [number, number] | null {
    if (this.#take('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.#take('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.#take('?')) return [0, 1];
    const counted = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 20).join(''));
    if (counted === null) return null;
    const [text, least, comma, most] = counted;
    this.#at += text.length;
    const min = Number(least);
    const max = comma === undefined ? min : most === '' ? Number.POSITIVE_INFINITY : Number(most);
    if (min > MAX_REPEAT || (Number.isFinite(max) && max > MAX_REPEAT))
      this.#refuse(`more than ${MAX_REPEAT} repetitions`);
    if (max < min) this.#refuse(`repetition ${text} ends before it begins`);
    return [min, max];
  }

  #atom(): Regex | null {
    const character = this.#next!;
    if (character === '(') return this.#group();
    if (character === '[') return this.#class();
    if ('*+?'.includes(character)) this.#refuse(`nothing to repeat before ${character}`);
    this.#at++;
    if (character === '^') return { kind: 'assert', what: 'start' };
    if (character === '$') return { kind: 'assert', what: 'end' };
    if (character === '.') return this.#set(this.#flags.dotAll ? complement([]) : complement(NEWLINE));
    if (character === '\\') return this.#escape();
    return this.#literal(character);
  }

  #group(): Regex | null {
    const outer = this.#flags;
    this.#at++;
    if (this.#take('?')) {
      if (this.#next === '=' || this.#next === '!' || this.#take('<=') || this.#take('<!'))
        this.#refuse('looking ahead or behind is not supported');
      if (this.#take('P<') || this.#take('<')) this.#groupName();
      else if (this.#groupFlags()) return null;
    }
    const regex = this.#choice();
    if (!this.#take(')')) this.#refuse('missing )');
    this.#flags = outer;
    return regex;
  }

  #groupName(): void {
    while (this.#next !== undefined && this.#next !== '>') this.#at++;
    if (!this.#take('>')) this.#refuse('missing > of a group name');
  }

  /** Reads `i:`, `s-i)` and the like; true if they hold for the rest of the outer group instead of a group of theirs. */
  #groupFlags(): boolean {
    let isOn = true;
    let flags = this.#flags;
    for (;;) {
      if (this.#take('i')) flags = { ...flags, ignoreCase: isOn };
      else if (this.#take('s')) flags = { ...flags, dotAll: isOn };
      // A line has no lines of its own, and greed does not change whether something matches.
      else if (this.#take('m') || this.#take('U')) continue;
      else if (this.#take('-')) isOn = false;
      else break;
    }
    this.#flags = flags;
    if (this.#take(')')) return true;
    if (!this.#take(':')) this.#refuse(`(?${this.#next ?? ''} is not supported`);
    return false;
  }

  #escape(): Regex {
    const letter = this.#next;
    if (letter === undefined) this.#refuse('trailing backslash');
    if (letter in ASSERTIONS) {
      this.#at++;
      return { kind: 'assert', what: ASSERTIONS[letter as keyof typeof ASSERTIONS] };
    }
    const ranges = CLASS_ESCAPES[letter];
    if (ranges === undefined) return this.#literal(this.#escapedCharacter());
    this.#at++;
    return this.#set(ranges);
  }

  #escapedCharacter(): string {
    const letter = this.#characters[this.#at++];
    if (letter === undefined) this.#refuse('trailing backslash');
    if (letter in CHARACTER_ESCAPES) return String.fromCodePoint(CHARACTER_ESCAPES[letter]);
    if (letter === 'x') {
      const hex = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/.exec(
        this.#characters.slice(this.#at, this.#at + 8).join(''),
      );
      const code = hex === null ? Number.NaN : Number.parseInt(hex[1] ?? hex[2], 16);
      if (hex === null || code > 0x10ffff) this.#refuse('\\x needs two hexadecimal digits or {digits}');
      this.#at += hex[0].length;
      return String.fromCodePoint(code);
    }
    if (/[0-9]/.test(letter)) this.#refuse(`back reference \\${letter} is not supported`);
    if (/[a-zA-Z]/.test(letter)) this.#refuse(`\\${letter} is not supported`);
    return letter;
  }

  #class(): Regex {
    this.#at++;
    const negated = this.#take('^');
    const ranges: Range[] = [];
    for (let isFirst = true; isFirst || this.#next !== ']'; isFirst = false) {
      if (this.#next === undefined) this.#refuse('missing ]');
      ranges.push(...this.#classItem());
    }
    this.#at++;
    const folded = this.#flags.ignoreCase ? foldCase(ranges) : ranges;
    return { kind: 'set', ranges: negated ? complement(folded) : normalize(folded) };
  }

  #classItem(): readonly Range[] {
    const posix = /^\[:(\^?)(\w+):\]/.exec(this.#characters.slice(this.#at, this.#at + 14).join(''));
    if (posix !== null) {
      const ranges = POSIX_CLASSES[posix[2]];
      if (ranges === undefined) this.#refuse(`[:${posix[2]}:] is not supported`);
      this.#at += posix[0].length;
      return posix[1] === '' ? ranges : complement(ranges);
    }
    if (this.#next === '\\' && this.#characters[this.#at + 1] in CLASS_ESCAPES) {
      this.#at += 2;
      return CLASS_ESCAPES[this.#characters[this.#at - 1]];
    }
    const low = this.#classCharacter();
    if (this.#next !== '-' || this.#characters[this.#at + 1] === ']') return [[low, low]];
    this.#at++;
    if (this.#next === undefined) this.#refuse('missing ]');
    const high = this.#classCharacter();
    if (high < low) this.#refuse('range in [] ends before it begins');
    return [[low, high]];
  }

  #classCharacter(): number {
    const character = this.#characters[this.#at++];
    return (character === '\\' ? this.#escapedCharacter() : character).codePointAt(0)!;
  }

  #literal(character: string): Regex {
    const code = character.codePointAt(0)!;
    return this.#set([[code, code]]);
  }

  #set(ranges: readonly Range[]): Regex {
    return { kind: 'set', ranges: this.#flags.ignoreCase ? foldCase(ranges) : ranges };
  }
}

const MAX_FOLDED_RANGE = 1024;

/** With the other case of every letter; of a large range only the ASCII letters. */
function foldCase(ranges: readonly Range[]): Range[] {
  const folded: Range[] = [...ranges];
  for (const [low, high] of ranges) {
    const last = high - low > MAX_FOLDED_RANGE ? Math.min(high, 0x7f) : high;
    for (let code = low; code <= last; code++) {
      const character = String.fromCodePoint(code);
      for (const other of [character.toLowerCase(), character.toUpperCase()])
        if ([...other].length === 1) folded.push([other.codePointAt(0)!, other.codePointAt(0)!]);
    }
  }
  return normalize(folded);
}
