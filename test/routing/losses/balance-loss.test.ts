import * as tf from '@tensorflow/tfjs-node';
import { expect, it } from 'vitest';
import { balanceLoss } from '../../../src/routing/losses/balance-loss.js';

it('is weight times the sum of shares and mean probabilities, also of counts that are integers', () => {
  const probs = tf.tensor2d([
    [0.5, 0.5],
    [0.1, 0.9],
  ]);
  for (const routed of [Float64Array.of(1, 3), Int32Array.of(1, 3) as unknown as Float64Array])
    expect(balanceLoss(2, routed, probs).dataSync()[0]).toBeCloseTo(2 * (0.25 * 0.3 + 0.75 * 0.7), 6);
});
