import { CounterRandom } from 'locmoe/internal/parameters/counter-random';

/**
 * Random draws of one case, which depend only on the seed and the case's number, so that each case can be run alone.
 */
export class Random {
  readonly #numbers: CounterRandom;
  #next = 0;

  constructor(seed: number, numCase: number) {
    this.#numbers = new CounterRandom(seed, `case ${numCase}`);
  }

  /** An integer from 0 to `end` - 1. */
  below(end: number): number {
    return Math.floor(this.#numbers.uniform(this.#next++) * end);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}
