import { llamaModel } from 'locmoe/internal/config/model-schema';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { rotaryFrequencies } from 'locmoe/internal/ops/rotary-frequencies';
import { refused } from './refused.js';

// Shapes: d hidden size, h head size.

/** Largest share of attention that all tokens but the wanted one have together. */
const LEAKAGE = 1e-7;
/** Largest score. Rounding queries and keys to float16 changes it by 4, which is little beside the distance to other scores. */
const MOST_SCORE = 2 ** 12;

/** A coordinate of the residual stream that the layer adds to another coordinate of the token `before` tokens later. */
export interface Copy {
  readonly from: number;
  readonly to: number;
  readonly before: number;
}

interface Copying {
  readonly model: RunConfig['model'];
  readonly copies: readonly Copy[];
  /** Absolute value in the coordinates to copy. */
  readonly size: number;
  /** Coordinate that the layer sets to 0 by adding its negative. */
  readonly filler: number;
  readonly mostFiller: number;
  /** Root of the mean square of the residual stream with epsilon, the same for all tokens. */
  readonly rms: number;
}

/**
 * Returns a function that writes a parameter of a layer, by the end of its name, into zeros. The layer copies coordinates from
 * tokens before, and clears one.
 *
 * Queries and keys are biases alone. Those of query head b are rotated such that the score of the token n tokens before is
 * A * sum over frequencies f of cos(f (n - b)), which is greatest at n = b, or at the first token where fewer are before. Every head
 * of values has all coordinates, divided by their largest absolute values, so that blocks of q8_0 keep them.
 *
 * @throws TrainerError `BAD_INPUT` naming what the heads of the model lack
 */
export function copyingLayer({ model, copies, size, filler, mostFiller, rms }: Copying) {
  const { numHeads, seqLen, dModel: d } = model;
  const { numKeyValueHeads, headDim: h, ropeTheta, ropeScaling } = llamaModel(model);
  const lookBack = Math.max(...copies.map(({ before }) => before));
  const lacking = (why: string) =>
    refused(`moe.lookBack ${lookBack}`, `${why}; train with --set moe.lookBack=0`);
  if (numHeads <= lookBack)
    throw lacking(`it takes ${lookBack + 1} heads, and model.numHeads is ${numHeads}`);
  if (copies.length >= h)
    throw lacking(`it takes heads of ${copies.length + 1} values, and model.headDim is ${h}`);
  const frequencies = rotaryFrequencies(h, ropeTheta, ropeScaling);
  const gap = leastGap(frequencies, lookBack, seqLen);
  const sharpness = Math.log(seqLen / LEAKAGE) / gap;
  if (gap <= 0 || sharpness * frequencies.length > MOST_SCORE)
    throw lacking(`heads of model.headDim ${h} cannot tell apart all distances up to model.seqLen ${seqLen}`);

  const writers: Readonly<Record<string, (values: Float32Array) => void>> = {
    'ln_attn.gain': (gain) => gain.fill(1),
    'ln_ffn.gain': (gain) => gain.fill(1),
    'attn.q.bias'(bias) {
      // Scores are divided by sqrt(h).
      const length = sharpness * Math.sqrt(h);
      for (let before = 0; before <= lookBack; before++)
        for (const [i, frequency] of frequencies.entries()) {
          bias[before * h + i] = length * Math.cos(frequency * before);
          bias[before * h + h / 2 + i] = -length * Math.sin(frequency * before);
        }
    },
    'attn.k.bias'(bias) {
      for (let begin = 0; begin < bias.length; begin += h) bias.fill(1, begin, begin + h / 2);
    },
    'attn.v'(weights) {
      const rowLength = numKeyValueHeads * h;
      for (let begin = 0; begin < rowLength; begin += h) {
        for (const [i, { from }] of copies.entries()) weights[from * rowLength + begin + i] = rms / size;
        weights[filler * rowLength + begin + copies.length] = -rms / mostFiller;
      }
    },
    'attn.out'(weights) {
      for (const [i, { to, before }] of copies.entries()) weights[(before * h + i) * d + to] = size;
      weights[copies.length * d + filler] = mostFiller;
    },
  };
  return (name: string, zeros: Float32Array): void => writers[name]?.(zeros);
}

/** Returns how much the sum of cosines is greater at the wanted token than at any other one, at least. */
function leastGap(frequencies: Float64Array, lookBack: number, seqLen: number): number {
  const agreement = (distance: number) =>
    frequencies.reduce((sum, frequency) => sum + Math.cos(frequency * distance), 0);
  let gap = Number.POSITIVE_INFINITY;
  // The first token is up to lookBack - 1 tokens after the place that a query looks for, and then all others are further away.
  for (let nearest = 0; nearest < Math.max(1, lookBack); nearest++) {
    const end = nearest === 0 ? seqLen + lookBack : lookBack + 1;
    for (let other = nearest + 1; other < end; other++)
      gap = Math.min(gap, agreement(nearest) - agreement(other));
  }
  return gap;
}
