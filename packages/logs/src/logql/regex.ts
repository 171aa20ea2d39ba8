import { RE2JS } from 're2js';
import { LogsError, messageOf } from '../errors.js';

/** RE2 allows larger programs, which are slow to compile for every query. */
const MAX_INSTRUCTIONS = 20_000;
/** About a second. */
const MAX_STEPS = 100_000_000;

/**
 * An RE2 regular expression, as in Loki. Matching takes time linear in the text; a text that could take too
 * long even so is refused.
 */
export class Regex {
  readonly #regex: RE2JS;
  readonly #numInstructions: number;

  /** @throws LogsError `BAD_INPUT` with RE2's message if it is invalid or too large */
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

  /** Worst case for a text of this many characters: every instruction at every character, 5 to 10 ns each. */
  maxSteps(length: number): number {
    return this.#numInstructions * length;
  }

  /**
   * Whether any part of the text matches.
   *
   * @throws LogsError `BAD_INPUT` if matching could take too long
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
