import type { Communicator } from '../collectives/communicator.js';
import { onGradient } from '../ops/autograd.js';
import type { tf } from '../ops/tensorflow.js';

/** Returns x; when the gradient of x is complete, calls `before`, then starts the backward span of `part`. */
export function backwardSpan(
  { spans }: Pick<Communicator, 'spans'>,
  x: tf.Tensor2D,
  part: string,
  layer?: number,
  before?: () => void,
): tf.Tensor2D {
  return onGradient(x, () => {
    before?.();
    spans.next(part, layer);
  });
}
