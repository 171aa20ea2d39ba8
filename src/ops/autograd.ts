import type { FusedForward } from './kernels/kernels.js';
import { tf } from './tensorflow.js';

/** An operation on the tape: those of this folder and those of TensorFlow are recorded alike, in the order in which they ran. */
export interface TapeNode {
  readonly id: number;
  readonly kernelName: string;
  readonly inputs: Readonly<Record<string, tf.Tensor>>;
  readonly outputs: readonly tf.Tensor[];
  /** Kept until the backward pass has used them. */
  readonly saved: readonly tf.Tensor[];
  /** Computes the gradient of each input when it is asked for, from those of the outputs; absent if TensorFlow has none. */
  readonly gradient?: (dys: readonly (tf.Tensor | null)[]) => Readonly<Record<string, () => tf.Tensor>>;
}

/** The part of TensorFlow's engine that is used here, some of which it does not declare. */
export interface TapeEngine {
  readonly state: {
    activeTape: TapeNode[] | null;
    gradientDepth: number;
    kernelDepth: number;
    nextTapeNodeId: number;
  };
  readonly backend: { incRef(dataId: object): void };
  /** Ids of tensors ascend in the order in which they are made. */
  nextTensorId(): number;
  isTapeOn(): boolean;
  startTape(): void;
  endTape(): void;
  makeTensorFromTensorInfo(info: Pick<tf.Tensor, 'dataId' | 'shape' | 'dtype'>): tf.Tensor;
}

export function tapeEngine(): TapeEngine {
  return tf.engine() as unknown as TapeEngine;
}

/**
 * Runs a differentiable operation with hand-written forward and backward passes. Intermediates are freed at the end of
 * each pass, saved tensors and the incoming gradient at the end of the backward pass. It is put on the tape directly, as
 * `tf.customGrad` spends more time on its own bookkeeping than a small operation takes.
 */
export function fusedOp<T extends tf.Tensor, const Saved extends readonly tf.Tensor[] = readonly tf.Tensor[]>(
  inputs: readonly tf.Tensor[],
  forward: () => FusedForward<Saved>,
): T {
  const engine = tapeEngine();
  const isRecorded = engine.isTapeOn();
  // Calls of TensorFlow inside the operation are not recorded.
  engine.state.kernelDepth++;
  try {
    return tf.tidy(() => {
      const { value, saved, backward } = forward();
      if (isRecorded) {
        const kept = saved.map((tensor) => tf.keep(alias(tensor)));
        engine.state.activeTape!.push({
          id: engine.state.nextTapeNodeId++,
          kernelName: 'fusedOp',
          inputs: inputs as unknown as TapeNode['inputs'],
          outputs: [value],
          saved: kept,
          gradient([dy]) {
            const gradients = tf.tidy(() => backward(dy!, kept as unknown as Saved));
            for (const tensor of [dy!, ...kept]) if (!gradients.includes(tensor)) tensor.dispose();
            return gradients.map((gradient) => () => gradient) as unknown as Record<string, () => tf.Tensor>;
          },
        });
      }
      return value as T;
    });
  } finally {
    engine.state.kernelDepth--;
  }
}

/** Returns another tensor with the same memory, which lives until both are freed. */
export function alias(tensor: tf.Tensor): tf.Tensor {
  const engine = tapeEngine();
  engine.backend.incRef(tensor.dataId);
  return engine.makeTensorFromTensorInfo(tensor);
}

/**
 * Returns x itself, [...] -> [...]. The backward pass calls `callback` with the gradient of the result once it is final, i.e.
 * after every use of the result has been differentiated, which is at the same place between the collectives on every rank.
 */
export function onGradient<T extends tf.Tensor>(x: T, callback: (gradient: tf.Tensor) => void): T {
  return identity(x, (dy) => {
    callback(dy);
    return [dy];
  });
}

/** As `onGradient`, for a parameter: the gradient goes to `callback` alone, and is freed after it. */
export function parameterLeaf(parameter: tf.Tensor, callback: (gradient: tf.Tensor) => void): tf.Tensor {
  return identity(parameter, (dy) => {
    callback(dy);
    return [undefined];
  });
}

function identity<T extends tf.Tensor>(x: T, backward: FusedForward['backward']): T {
  return fusedOp([x], () => ({ value: alias(x), saved: [], backward }));
}

/**
 * Frees the inputs of an operation that is the last to read them: `consume([x, y], residual(x, y))`. What the
 * operation saved for its backward pass remains, since the tape has its own aliases. Without this, they would live
 * until the end of the forward pass.
 *
 * @param result result of the operation; an input that is also the result is not freed
 */
export function consume<Result>(inputs: readonly tf.Tensor[], result: Result): Result {
  for (const input of inputs) if (input !== result) input.dispose();
  return result;
}

/** Tells whether a gradient is being recorded, so that operations must keep what their backward pass needs. */
export function isRecording(): boolean {
  return tf.engine().state.gradientDepth > 0;
}
