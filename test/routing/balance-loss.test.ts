import * as tf from '@tensorflow/tfjs-node';
import { describe, expect, it } from 'vitest';
import { balanceLoss } from '../../src/routing/balance-loss.js';
import { expectClose, randomValues } from '../model/support.js';

function probabilities(name: string, numTokens: number, numExperts: number): Float32Array {
  return tf.tidy(() =>
    tf
      .softmax(tf.tensor2d(randomValues(name, numTokens * numExperts), [numTokens, numExperts]))
      .dataSync<'float32'>()
      .slice(),
  );
}

const lossOf = (alpha: number, routed: number[], probs: Float32Array, numExperts: number) =>
  tf.tidy(
    () =>
      balanceLoss(
        alpha * numExperts,
        Float64Array.from(routed),
        tf.tensor2d(probs, [probs.length / numExperts, numExperts]),
      ).dataSync()[0],
  );

describe('balanceLoss', () => {
  it.each([
    [1, 2],
    [5, 3],
    [16, 8],
  ])('equals the sum for %i tokens and %i experts', (numTokens, numExperts) => {
    const routed = Array.from({ length: numExperts }, (_, i) => i + 1);
    const total = routed.reduce((a, b) => a + b);
    const probs = probabilities('p', numTokens, numExperts);
    let sum = 0;
    for (let e = 0; e < numExperts; e++) {
      let mean = 0;
      for (let t = 0; t < numTokens; t++) mean += probs[t * numExperts + e] / numTokens;
      sum += (routed[e] / total) * mean;
    }
    expect(lossOf(0.3, routed, probs, numExperts)).toBeCloseTo(0.3 * numExperts * sum, 5);
  });

  it('is alpha when all is uniform', () => {
    expect(lossOf(0.01, [5, 5, 5, 5], new Float32Array(12).fill(0.25), 4)).toBeCloseTo(0.01, 7);
  });

  it('averages over ranks to the loss of the global batch', () => {
    const [a, b] = [probabilities('a', 6, 4), probabilities('b', 6, 4)];
    const routed = [1, 7, 2, 2];
    const global = lossOf(1, routed, Float32Array.of(...a, ...b), 4);
    expectClose([(lossOf(1, routed, a, 4) + lossOf(1, routed, b, 4)) / 2], [global], 1e-6);
  });
});
