import { initStd, matrixSpec } from './matrix.js';
import type { ParameterSpec } from './parameter-group.js';

// Low-rank adaptation (LoRA, Hu et al., arXiv 2106.09685, section 4.1): a pair A [a, R], B [R, b] is trained beside a
// frozen W [a, b], and W + scale A B is used in place of W. B is zero at first, so that a new pair changes nothing.

/** Returns the names of A and B of a matrix. The part before the last dot still names the matrix's expert. */
export function pairOf(matrix: string): { readonly a: string; readonly b: string } {
  return { a: `${matrix}_lora_a`, b: `${matrix}_lora_b` };
}

export function isOfPair(parameter: string): boolean {
  return /_lora_[ab]$/.test(parameter);
}

/** Returns the specs of a matrix and of the pair beside it. */
export function specsWithPair(matrix: ParameterSpec, rank: number, pairScale: number): ParameterSpec[] {
  const { name, placement } = matrix;
  const [a, b] = matrix.shape as [number, number];
  const names = pairOf(name);
  return [
    { ...matrix, pairScale },
    matrixSpec({ name: names.a, shape: [a, rank] }, initStd(a), placement),
    {
      ...matrixSpec({ name: names.b, shape: [rank, b] }, 0, placement),
      init: { kind: 'constant', value: 0 },
    },
  ];
}

/**
 * Adds scale A B to W, in place.
 *
 * @param wAB [a, b]
 * @param aAR [a, R]
 * @param bRB [R, b]
 */
export function addProduct(
  wAB: Float32Array,
  aAR: Float32Array,
  bRB: Float32Array,
  rank: number,
  scale: number,
): void {
  const width = bRB.length / rank;
  for (let i = 0; i < wAB.length; i++) {
    const [row, column] = [Math.floor(i / width), i % width];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += aAR[row * rank + r]! * bRB[r * width + column]!;
    wAB[i]! += scale * sum;
  }
}
