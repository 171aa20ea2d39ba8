import { RE2JS } from 're2js';
import { LogsError, messageOf } from '../errors.js';

/** Maximum instructions of a group. RE2 allows larger programs, which are slow to compile for every query. */
const MAX_INSTRUCTIONS = 20_000;
/**
 * Maximum length of a pattern with counted repetitions expanded; RE2 compiles it before it knows the size.
 */
const MAX_EXPANDED_CHARACTERS = 100_000;
/** Maximum product of nested repeat counts; RE2 refuses more. */
const MAX_REPEAT = 1_000;
/**
 * Maximum number of steps of a group on one line, which cannot be interrupted; a step takes 20 ns at worst.
 */
const MAX_STEPS = 10_000_000;
/** Cost of a match that finds its groups, relative to one that does not. */
const GROUPS_COST = 5;
/** Maximum processor time for all matches on one line. */
const MAX_MATCHES_MS = 200;
/**
 * Maximum size of the DFA states of a group. With more, hostile patterns are slower: building a state costs
 * more than it saves.
 */
const MAX_CACHE_BYTES = 2 << 20;

/**
 * Regular expressions tested on the same line without yielding to the event loop; their total size is
 * limited.
 */
export class RegexGroup {
  #numRegexes = 0;
  #numInstructions = 0;

  /** @throws LogsError `BAD_INPUT` if the group becomes too large */
  add(numInstructions: number): void {
    this.#numRegexes++;
    this.#numInstructions += numInstructions;
    if (this.#numInstructions > MAX_INSTRUCTIONS) throw tooLarge();
  }

  /** Maximum size of the DFA states of one expression, in bytes. */
  get cacheBytes(): number {
    return Math.floor(MAX_CACHE_BYTES / this.#numRegexes);
  }

  /**
   * Whether all are fast on a text of `length` characters: at worst, each instruction processes each
   * character.
   */
  isQuick(length: number): boolean {
    return this.#numInstructions * length <= MAX_STEPS;
  }
}

/**
 * An RE2 regular expression, as in Loki. The time for matching is linear in the text; a text for which that
 * could still be too long is refused.
 */
export class Regex {
  readonly #regex: RE2JS;
  #isTested = false;

  /**
   * @param group the group that this expression joins
   * @throws LogsError `BAD_INPUT` with RE2's message if it is invalid or too large
   */
  constructor(
    pattern: string,
    private readonly group: RegexGroup,
  ) {
    if (expandedCharacters(pattern) > MAX_EXPANDED_CHARACTERS) throw tooLarge();
    try {
      this.#regex = RE2JS.compile(pattern);
    } catch (error) {
      throw new LogsError('BAD_INPUT', messageOf(error));
    }
    group.add(this.#regex.programSize());
  }

  /**
   * Whether any part of the text matches.
   *
   * @throws LogsError `BAD_INPUT` if matching could take too long
   */
  test(text: string): boolean {
    this.#prepare(text);
    return this.#regex.test(text);
  }

  /**
   * Whether the whole text matches.
   *
   * @throws LogsError as `test`
   */
  testWhole(text: string): boolean {
    this.#prepare(text);
    return this.#regex.testExact(text);
  }

  /** Returns the maximum number of steps for finding all matches in a text. */
  stepsOn({ length }: string): number {
    return this.#regex.programSize() * length * GROUPS_COST;
  }

  get groupNames(): string[] {
    return Object.keys(this.#regex.re2Input.namedGroups);
  }

  /**
   * Returns the named groups of the first match, with an empty text for a group that does not participate;
   * null if nothing matches.
   *
   * @throws LogsError as `test`
   */
  namedGroups(text: string): Record<string, string> | null {
    this.#prepare(text, GROUPS_COST);
    const matcher = this.#regex.matcher(text);
    if (!matcher.find()) return null;
    return Object.fromEntries(this.groupNames.map((name) => [name, matcher.group(name) ?? '']));
  }

  /**
   * Inserts the groups of a match of the whole text into a template, for `$1`, `${1}` and `${name}`; null if
   * the text does not match.
   *
   * @throws LogsError as `test`
   */
  expandWhole(text: string, template: string): string | null {
    this.#prepare(text, GROUPS_COST);
    const matcher = this.#regex.matcher(text);
    if (!matcher.matches()) return null;
    const groups = Array.from({ length: matcher.groupCount() + 1 }, (_, i) => matcher.group(i));
    return this.#expand(template, groups);
  }

  /**
   * Replaces all matches by a template as in `expandWhole` or, if `isLiteral`, by the template as it is.
   *
   * @throws LogsError as `test`
   */
  replaceAll(text: string, template: string, isLiteral: boolean): string {
    const within = this.#limitMatches(text);
    return this.#regex.matcher(text).replaceAll((...match: (string | null | undefined)[]) => {
      within();
      return isLiteral ? template : this.#expand(template, match);
    });
  }

  #expand(template: string, groups: readonly (string | null | undefined)[]): string {
    const { namedGroups } = this.#regex.re2Input;
    return template.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (all, bare?: string, braced?: string) => {
      if (all === '$$') return '$';
      const name = bare ?? braced ?? '';
      const index = /^\d+$/.test(name) ? Number(name) : namedGroups[name]!;
      return groups[index] ?? '';
    });
  }

  /** Returns a function to call at each match. */
  #limitMatches(text: string): () => void {
    this.#prepare(text, GROUPS_COST);
    const endMs = performance.now() + MAX_MATCHES_MS;
    return () => {
      if (performance.now() > endMs) throw tooExpensive(text);
    };
  }

  #prepare(text: string, cost = 1): void {
    if (!this.group.isQuick(text.length * cost)) throw tooExpensive(text);
    if (this.#isTested) return;
    this.#isTested = true;
    // RE2JS has no option for this limit; its default is 8 MiB for each expression.
    const { dfa } = this.#regex.re2Input;
    dfa.stateBudget = this.group.cacheBytes;
    dfa.memBudget = this.group.cacheBytes;
  }
}

/** Returns the upper bound of the pattern's length with its counted repetitions written out. */
function expandedCharacters(pattern: string): number {
  let ofAtom = 1;
  let ofGroups = 1;
  for (const [, before, digits] of pattern.matchAll(/(.)\{(?:\d+,)?(\d+),?\}/gs)) {
    const count = Math.max(1, Number(digits));
    if (before === ')') ofGroups *= count;
    else ofAtom = Math.max(ofAtom, count);
  }
  return pattern.length * Math.min(MAX_REPEAT, ofAtom * ofGroups);
}

function tooExpensive({ length }: string): LogsError {
  return new LogsError(
    'BAD_INPUT',
    `regular expressions are too expensive on a line of ${length} characters: simplify them`,
  );
}

function tooLarge(): LogsError {
  return new LogsError('BAD_INPUT', 'error parsing regexp: expression too large');
}
