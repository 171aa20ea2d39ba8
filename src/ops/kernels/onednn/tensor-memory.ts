import { nodeBackend } from '../../node-backend.js';
import { tf } from '../../tensorflow.js';
import { Arena, type Block } from './arena.js';
import type { Operand, Values } from './operand.js';

/** A tensor of TensorFlow's engine whose elements are in the arena; its own operations get a copy of them. */
export interface OwnTensor extends Operand {
  readonly tensor: tf.Tensor;
}

export type ElementType = 'float32' | 'bfloat16';

const BYTES: Readonly<Record<ElementType, number>> = { float32: 4, bfloat16: 2 };

/** Arena memory behind tensors; it is given back when they are disposed of. */
export class TensorMemory {
  readonly #arena = new Arena();
  /** Blocks by the tensor's data id. */
  readonly #held = new Map<object, { readonly block: Block; readonly values: Values }>();

  constructor() {
    const backend = nodeBackend();
    const dispose = backend.disposeData.bind(backend);
    backend.disposeData = (dataId, force) => {
      const isGone = dispose(dataId, force);
      const held = isGone ? this.#held.get(dataId) : undefined;
      if (held !== undefined) {
        this.#held.delete(dataId);
        this.#arena.give(held.block);
      }
      return isGone;
    };
    const idsOf = backend.getInputTensorIds.bind(backend);
    backend.getInputTensorIds = (tensors) => {
      for (const { dataId } of tensors) this.#copyForTensorFlow(dataId);
      return idsOf(tensors);
    };
  }

  /**
   * Copies elements out of the arena before TensorFlow first reads them: it would read them in place, and its reshapes and slices
   * would still refer to them when the memory has been given back.
   *
   * @param dataId undefined for a number that TensorFlow wants as an argument
   */
  #copyForTensorFlow(dataId: object | undefined): void {
    if (dataId === undefined) return;
    const data = nodeBackend().tensorMap.get(dataId);
    if (data.values instanceof Float32Array && this.#arena.has(data.values.buffer))
      data.values = data.values.slice();
  }

  /** Bytes of all live tensors and scratch memory. */
  get usedBytes(): number {
    return this.#arena.usedBytes;
  }

  /** Creates a tensor with arbitrary elements. Only the functions in this folder can use bfloat16 tensors. */
  create(dims: readonly number[], type: ElementType = 'float32'): OwnTensor {
    const { block, values } = this.#take(dims, type);
    const tensor = tf
      .engine()
      .makeTensor(values as Float32Array, [...dims], type === 'float32' ? 'float32' : 'int32');
    this.#held.set(tensor.dataId, { block, values });
    return { tensor, values, dims };
  }

  /** Creates a tensor over memory that does not belong to the arena and outlives the tensor. */
  over(values: Float32Array, dims: readonly number[]): OwnTensor {
    return { tensor: tf.engine().makeTensor(values, [...dims], 'float32'), values, dims };
  }

  /** Returns the operand of a tensor, made by `create` or by TensorFlow. */
  operandOf(tensor: tf.Tensor): Operand {
    const values = this.#held.get(tensor.dataId)?.values ?? tensor.dataSync<'float32'>();
    return { values, dims: tensor.shape };
  }

  /** Provides scratch memory with arbitrary elements, valid only during the call. */
  borrow<T>(dims: readonly number[], type: ElementType, use: (scratch: Operand) => T): T {
    const { block, values } = this.#take(dims, type);
    try {
      return use({ values, dims });
    } finally {
      this.#arena.give(block);
    }
  }

  #take(dims: readonly number[], type: ElementType): { block: Block; values: Values } {
    const length = dims.reduce((product, dim) => product * dim, 1);
    const block = this.#arena.take(length * BYTES[type]);
    const { buffer, begin } = block;
    const values =
      type === 'float32' ? new Float32Array(buffer, begin, length) : new Uint16Array(buffer, begin, length);
    return { block, values };
  }
}
