import type { Transport, TransportStats } from '../collectives/transport.js';
import { addStats } from '../collectives/transport.js';
import type { Batch } from '../data/batch.js';
import type { LanguageModel, LossOptions, LossOutput } from '../model/language-model.js';
import { combine } from '../ops/elementwise.js';
import { tf } from '../ops/tensorflow.js';

export interface PassOptions {
  /** Number of mean losses in the global batch: ranks times micro-batches. */
  readonly numMeans: number;
  readonly meanOver: LossOptions['meanOver'];
  /** True if the gradient replaces that of the step before, as the first micro-batch's does. */
  readonly isFirst: boolean;
  readonly onBackward: LossOptions['onBackward'];
  /** Called with each sparse layer's decision and the scores of its gate. */
  readonly inspect: LossOptions['inspect'];
  readonly change: LossOptions['change'];
}

export interface Pass {
  readonly loss: number;
  readonly auxiliaryLoss: number;
  readonly layers: LossOutput['layers'];
  /** Time of this rank alone, without its collectives. */
  readonly forwardMs: number;
  readonly backwardMs: number;
  readonly stats: readonly TransportStats[];
}

/**
 * Adds the gradient of (loss + auxiliary loss) / (world size x micro-batches) to those of the parameters. All
 * micro-batches of all ranks have the same number of tokens, or their losses are sums divided by the same
 * number, so the sum over them is the gradient of the mean over the tokens of the global batch.
 */
export function forwardBackward(
  { model, transport }: { readonly model: LanguageModel; readonly transport: Transport },
  step: number,
  batch: Batch,
  { numMeans, meanOver, isFirst, onBackward, inspect, change }: PassOptions,
): Pass {
  const { spans } = transport;
  transport.setProgress(step, 'forward');
  spans.begin('forward');
  const started = performance.now();
  let forward:
    | (Pick<Pass, 'loss' | 'auxiliaryLoss' | 'layers'> & { ms: number; stats: TransportStats })
    | undefined;
  model.parameters.computeGradients(() => {
    const { crossEntropy, auxiliaryLoss, layers } = model.loss(batch, {
      training: true,
      meanOver,
      onBackward,
      inspect,
      change,
      wantsScores: inspect !== undefined,
    });
    const objective = combine<tf.Scalar>(
      'divide',
      combine('add', crossEntropy, auxiliaryLoss),
      tf.scalar(numMeans),
    );
    forward = {
      loss: crossEntropy.dataSync()[0]!,
      auxiliaryLoss: auxiliaryLoss.dataSync()[0]!,
      layers,
      ms: performance.now() - started,
      stats: transport.takeStats(),
    };
    spans.end();
    transport.setProgress(step, 'backward');
    spans.begin('backward');
    // The backward pass begins with the loss, where the forward pass ended.
    spans.next('loss');
    return objective;
  }, !isFirst);
  spans.end();
  const { ms, stats, ...results } = forward!;
  const backwardMs = performance.now() - started - ms;
  const backwardStats = transport.takeStats();
  return {
    ...results,
    forwardMs: ms - addStats([stats]).ms,
    backwardMs: backwardMs - addStats([backwardStats]).ms,
    stats: [stats, backwardStats],
  };
}
