/**
 * Rotary position embedding (RoFormer, arXiv 2104.09864, section 3.2.2). Coordinate i of a head forms a pair with i + h
 * / 2, as in Llama's `rotate_half`, and is rotated by the position times the frequency of the pair.
 */
export class Rotation {
  /** Cosines and then sines of the pairs, by position. */
  readonly #turns: Float64Array[] = [];

  /** h */
  readonly size: number;

  /** @param frequencies of `rotaryFrequencies`, length h / 2 */
  constructor(private readonly frequencies: ArrayLike<number>) {
    this.size = 2 * frequencies.length;
  }

  /**
   * Rotates heads of a row.
   *
   * @param begin index of the first coordinate
   * @param direction -1 for the inverse rotation
   * @param into output, from index `at`; by default the heads are rotated in place
   */
  rotate(
    values: Float32Array,
    begin: number,
    numHeads: number,
    position: number,
    direction: 1 | -1,
    into = values,
    at = begin,
  ): void {
    const half = this.size / 2;
    const turns = this.turnsAt(position);
    for (const end = begin + numHeads * this.size; begin < end; begin += this.size, at += this.size)
      for (let i = 0; i < half; i++) {
        const cosine = turns[i]!;
        const sine = direction * turns[half + i]!;
        const a = values[begin + i]!;
        const b = values[begin + half + i]!;
        into[at + i] = a * cosine - b * sine;
        into[at + half + i] = b * cosine + a * sine;
      }
  }

  /** Returns the cosines and then the sines of the pairs, length h. */
  turnsAt(position: number): Float64Array {
    this.#turns[position] ??= this.#turnsOf(position);
    return this.#turns[position];
  }

  #turnsOf(position: number): Float64Array {
    const half = this.size / 2;
    return Float64Array.from({ length: this.size }, (_, i) => {
      const angle = position * this.frequencies[i % half]!;
      return i < half ? Math.cos(angle) : Math.sin(angle);
    });
  }
}

const rotations = new WeakMap<readonly number[], Rotation>();

/** Returns the rotation by these frequencies. Layers that have the same array share the table of their sines. */
export function rotationBy(frequencies: readonly number[]): Rotation {
  const known = rotations.get(frequencies) ?? new Rotation(frequencies);
  rotations.set(frequencies, known);
  return known;
}
