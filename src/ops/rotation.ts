import { mapTuple } from '../map-tuple.js';
import { fusedOp } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import type { AttentionShape } from './kernels/kernels.js';
import type { tf } from './tensorflow.js';

// Shapes: T tokens, H heads of queries, K of keys and values, h size of a head.

/**
 * Rotary position embedding (RoFormer, arXiv 2104.09864, section 3.2.2). Coordinate i of a head forms a pair with i + h
 * / 2, as in Llama's `rotate_half`, and is rotated by the position times the frequency of the pair.
 */
export class Rotation {
  /** Cosines and then sines of the pairs, by position. */
  readonly #turns: Float64Array[] = [];

  /** h */
  private readonly size: number;

  /** @param frequencies of `rotaryFrequencies`, length h / 2 */
  constructor(private readonly frequencies: ArrayLike<number>) {
    this.size = 2 * frequencies.length;
  }

  /**
   * Rotates heads of a row in place.
   *
   * @param begin index of the first coordinate
   * @param direction -1 for the inverse rotation
   */
  rotate(values: Float32Array, begin: number, numHeads: number, position: number, direction: 1 | -1): void {
    const half = this.size / 2;
    this.#turns[position] ??= this.#turnsOf(position);
    const turns = this.#turns[position];
    for (let head = 0; head < numHeads; head++)
      for (let i = 0; i < half; i++) {
        const cosine = turns[i]!;
        const sine = direction * turns[half + i]!;
        const at = begin + head * this.size + i;
        const a = values[at]!;
        const b = values[at + half]!;
        values[at] = a * cosine - b * sine;
        values[at + half] = b * cosine + a * sine;
      }
  }

  /**
   * Concatenates rotated queries and keys with the values, for `causalAttention`.
   *
   * @param qTC [T, H h]
   * @param kTC [T, K h], like `vTC`
   * @returns [T, (H + 2 K) h]
   */
  queriesKeysValues(
    qTC: tf.Tensor2D,
    kTC: tf.Tensor2D,
    vTC: tf.Tensor2D,
    { seqLen, positionsT }: AttentionShape,
  ): tf.Tensor2D {
    const parts = [qTC, kTC, vTC] as const;
    const numRows = qTC.shape[0];
    const widths = parts.map(({ shape }) => shape[1]);
    const width = widths[0]! + widths[1]! + widths[2]!;
    /** Visits the places of each row's three parts, in the concatenation and in the part's own array. */
    const eachPart = (visit: (part: number, beside: number, own: number, position: number) => void) => {
      for (let row = 0, beside = 0; row < numRows; row++)
        for (let part = 0; part < 3; beside += widths[part++]!)
          visit(part, beside, row * widths[part]!, positionsT?.[row] ?? row % seqLen);
    };
    const turn = (values: Float32Array, begin: number, part: number, position: number, direction: 1 | -1) => {
      if (part < 2) this.rotate(values, begin, widths[part]! / this.size, position, direction);
    };
    return fusedOp(parts, () => {
      const qkv = kernels().create([numRows, width]);
      const values = mapTuple(parts, (each) => each.dataSync<'float32'>());
      eachPart((part, beside, own, position) => {
        qkv.values.set(values[part]!.subarray(own, own + widths[part]!), beside);
        turn(qkv.values, beside, part, position, 1);
      });
      return {
        value: qkv.tensor,
        saved: [],
        backward: (dyTC) => {
          const gradients = parts.map(({ shape }) => kernels().create(shape));
          const dy = dyTC.dataSync<'float32'>();
          eachPart((part, beside, own, position) => {
            const { values: gradient } = gradients[part]!;
            gradient.set(dy.subarray(beside, beside + widths[part]!), own);
            turn(gradient, own, part, position, -1);
          });
          return gradients.map(({ tensor }) => tensor);
        },
      };
    });
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
