import {
  type AttentionShape,
  type FeedForwardNetwork,
  type FeedForwardWeights,
  type FusedForward,
  type Kernels,
  keyValueHeadsOf,
} from 'locmoe/internal/ops/kernels/kernels';
import { tf } from 'locmoe/internal/ops/tensorflow';
import type { Recorder } from './recorder.js';

// Shapes as in ops/kernels/kernels.ts.

interface Described {
  /** Text that distinguishes calls of a kernel with different shapes. */
  readonly detail?: string;
  /** Multiplications and additions in the products of a forward pass; a backward pass has twice as many. */
  readonly flops: number;
}

type Call = (...args: never[]) => unknown;

const DESCRIBE: Readonly<Partial<Record<keyof Kernels, (...args: never[]) => Described>>> = {
  matMul: (x: tf.Tensor2D, w: tf.Tensor2D) => ({
    detail: w.shape.join(' x '),
    flops: 2 * x.size * w.shape[1],
  }),
  hostRowsProduct: (x: Float32Array, _: number, w: tf.Tensor) => ({ flops: 2 * x.length * w.shape[1]! }),
  tiedCrossEntropy: (x: tf.Tensor2D, embedding: tf.Tensor2D) => ({
    detail: `over ${embedding.shape[0]}`,
    flops: 2 * x.size * embedding.shape[0],
  }),
  // On average, a query attends to half of the keys and to its own.
  causalAttention: (qkv: tf.Tensor2D, shape: AttentionShape) => ({
    detail: `over ${shape.seqLen}`,
    flops:
      2 * qkv.size * (shape.numHeads / (shape.numHeads + 2 * keyValueHeadsOf(shape))) * (shape.seqLen + 1),
  }),
};

/** Kernels whose calls, forward and backward, are timed one by one. */
export function recordedKernels(kernels: Kernels, recorder: Recorder): Kernels {
  return new Proxy(kernels, {
    get(target, name: keyof Kernels) {
      const member = target[name] as unknown;
      // `create` only allocates memory and moves no bytes.
      if (typeof member !== 'function' || name === 'create') return member;
      if (name === 'network')
        return (rows: Parameters<Kernels['network']>[0]) =>
          recordedNetwork(target.network(rows), `network of ${rows} rows`, recorder);
      return (...args: never[]) => {
        const { detail, flops } = DESCRIBE[name]?.(...args) ?? { flops: 0 };
        const label = detail === undefined ? name : `${name} ${detail}`;
        const made = recorder.time(
          label,
          (result) => ({ flops, bytes: bytesOf([args, result]) }),
          () => (member as Call).apply(target, args),
        );
        return hasBackward(made) ? recordedBackward(made, label, 2 * flops, recorder) : made;
      };
    },
  });
}

function hasBackward(made: unknown): made is FusedForward {
  return typeof made === 'object' && made !== null && 'backward' in made;
}

function recordedBackward(
  { value, saved, backward }: FusedForward,
  label: string,
  flops: number,
  recorder: Recorder,
): FusedForward {
  return {
    value,
    saved,
    backward: (dy, kept) =>
      recorder.time(
        `${label}, backward`,
        (gradients) => ({ flops, bytes: bytesOf([dy, kept, gradients]) }),
        () => backward(dy, kept),
      ),
  };
}

function recordedNetwork(network: FeedForwardNetwork, label: string, recorder: Recorder): FeedForwardNetwork {
  const productsOf = (rows: tf.Tensor2D, weights: FeedForwardWeights) =>
    2 * rows.size * weights[0]!.shape[1] * weights.length;
  return {
    forward: (xTD, weights) =>
      recorder.time(
        label,
        ({ y, saved }) => ({ flops: productsOf(xTD, weights), bytes: bytesOf([xTD, weights, y, saved]) }),
        () => network.forward(xTD, weights),
      ),
    backward: (dyTD, weights, saved) =>
      recorder.time(
        `${label}, backward`,
        ({ dx, kept }) => ({
          flops: productsOf(dyTD, weights),
          bytes: bytesOf([dyTD, weights, saved, dx, kept]),
        }),
        () => network.backward(dyTD, weights, saved),
      ),
    gradients: (pieces, weights) =>
      recorder.time(
        `${label}, gradients of its matrices`,
        (gradients) => ({
          flops: pieces.reduce((sum, { dyTD }) => sum + productsOf(dyTD, weights), 0),
          bytes: bytesOf([pieces, gradients]),
        }),
        () => network.gradients(pieces, weights),
      ),
  };
}

/** Counts the bytes of all tensors and arrays among the values and in their members. */
function bytesOf(values: unknown): number {
  if (ArrayBuffer.isView(values)) return values.byteLength;
  if (values instanceof tf.Tensor) return 4 * values.size;
  if (typeof values !== 'object' || values === null) return 0;
  return Object.values(values).reduce((sum: number, value) => sum + bytesOf(value), 0);
}
