import * as tf from '@tensorflow/tfjs-node';
import { it } from 'vitest';
import { denseGateCosines } from '../../../src/routing/gates/dense-gate.js';
import { checkGradients, input } from '../../model/support.js';

it('cosines with a dense gate have gradients of the logits and of the gate, for routers by file', () => {
  const [xTD, weight, logits] = [input('x', [5, 6]), input('gate', [6, 4]), input('logits', [5, 4])];
  checkGradients(
    (weightDE, logitsTE) =>
      denseGateCosines(
        { xTD: tf.tensor2d(xTD.values, [5, 6]), parameters: new Map([['weight', weightDE]]) },
        logitsTE as tf.Tensor2D,
      ),
    [weight, logits],
  );
});
