const GOLDEN = 0x9e3779b9;

/** Applies MurmurHash3's 32-bit finaliser. */
function mix32(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Counter-based random numbers: draw i is a pure function of (seed, name, i), so a parameter's initial values
 * depend neither on its rank nor on the rank's other parameters.
 */
export class CounterRandom {
  readonly #key0: number;
  readonly #key1: number;

  constructor(seed: number, name: string) {
    let key0 = mix32((seed >>> 0) ^ GOLDEN);
    let key1 = mix32(Math.floor(seed / 2 ** 32) + 0x7f4a7c15);
    for (let i = 0; i < name.length; i++) {
      key0 = mix32(key0 ^ name.charCodeAt(i));
      key1 = mix32(Math.imul(key1, 31) + name.charCodeAt(i));
    }
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /** Returns draw `index`, uniform in (0, 1), with 32 bits. */
  uniform(index: number): number {
    const word = mix32(
      mix32(Math.imul(index, GOLDEN) ^ this.#key0) + this.#key1 + Math.imul(index, 0x85ebca77),
    );
    return (word + 0.5) / 2 ** 32;
  }

  /** Fills `target` with normal(0, std) by the Box-Muller transform; each pair of elements has its own two draws. */
  fillNormal(target: Float32Array, std: number): void {
    for (let i = 0; i < target.length; i += 2) {
      const radius = std * Math.sqrt(-2 * Math.log(this.uniform(i)));
      const angle = 2 * Math.PI * this.uniform(i + 1);
      target[i] = radius * Math.cos(angle);
      if (i + 1 < target.length) target[i + 1] = radius * Math.sin(angle);
    }
  }

  /** Returns a random permutation of 0 .. length-1 (Fisher-Yates). */
  permutation(length: number): Int32Array {
    const order = Int32Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform(i) * (i + 1));
      const value = order[i]!;
      order[i] = order[j]!;
      order[j] = value;
    }
    return order;
  }
}
