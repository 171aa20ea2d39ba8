import { RE2JS } from 're2js';
import { LogsError, messageOf } from '../errors.js';

/** What the compiler of RE2 lets through may still be slow to compile again and again. */
const MAX_INSTRUCTIONS = 20_000;
/** At most about a second. */
const MAX_STEPS = 100_000_000;

/**
 * A regular expression of RE2, whose syntax is Loki's. Time is linear in the text whatever the expression; a text that
 * could take long all the same is refused.
 */
export class Regex {
  readonly #regex: RE2JS;
  readonly #numInstructions: number;

  /** @throws LogsError `BAD_INPUT` in the words of RE2 if it is none or too large */
  constructor(pattern: string) {
    try {
      this.#regex = RE2JS.compile(pattern);
    } catch (error) {
      throw new LogsError('BAD_INPUT', messageOf(error));
    }
    this.#numInstructions = this.#regex.programSize();
    if (this.#numInstructions > MAX_INSTRUCTIONS)
      throw new LogsError('BAD_INPUT', 'error parsing regexp: expression too large');
  }

  /** Steps for a text of this many characters at worst: each instruction at each character, 5 to 10 ns each. */
  maxSteps(length: number): number {
    return this.#numInstructions * length;
  }

  /**
   * Whether any part of the text matches.
   *
   * @throws LogsError `BAD_INPUT` if telling could take too long
   */
  test(text: string): boolean {
    this.#assertQuick(text);
    return this.#regex.test(text);
  }

  /**
   * Whether the whole text matches.
   *
   * @throws LogsError as `test`
   */
  testWhole(text: string): boolean {
    this.#assertQuick(text);
    return this.#regex.testExact(text);
  }

  #assertQuick({ length }: string): void {
    if (this.maxSteps(length) > MAX_STEPS)
      throw new LogsError(
        'BAD_INPUT',
        `regular expression is too expensive on a line of ${length} characters: simplify it`,
      );
  }
}
