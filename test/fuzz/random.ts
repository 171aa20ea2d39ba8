import { CounterRandom } from '../../src/parameters/counter-random.js';

/** Draws of one case, which follow from the seed and the case's number: any case can be run by itself. */
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
