/** How a model stretches its rotary positions to longer texts, named as in `rope_scaling` of transformers. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      /** Sequence length in tokens before the stretching. */
      readonly originalSeqLen: number;
    };

/**
 * Returns the angles in radians by which each pair of a head's coordinates is rotated from one position to the next:
 * theta^(-2 i / h), scaled.
 *
 * @param size h, even
 * @returns length h / 2
 */
export function rotaryFrequencies(
  size: number,
  theta: number,
  scaling: RopeScaling | null = null,
): Float64Array {
  return Float64Array.from({ length: size / 2 }, (_, i) => {
    const frequency = theta ** ((-2 * i) / size);
    return scaling === null ? frequency : frequency / divisorOf(frequency, scaling);
  });
}

/**
 * Returns the divisor of a frequency. `linear` divides all frequencies (Chen et al., arXiv 2306.15595, eq. 4). `llama3`
 * divides those with at most `lowFreqFactor` turns in `originalSeqLen` tokens, keeps those with at least
 * `highFreqFactor` turns, and interpolates between them, as in Llama 3.1.
 */
function divisorOf(frequency: number, scaling: RopeScaling): number {
  if (scaling.type === 'linear') return scaling.factor;
  const { factor, lowFreqFactor, highFreqFactor, originalSeqLen } = scaling;
  const turns = (originalSeqLen * frequency) / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
  return 1 / ((1 - kept) / factor + kept);
}
