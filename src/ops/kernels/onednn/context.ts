import { gradientTargetOf } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { OneDnn } from './library.js';
import type { Operand } from './operand.js';
import { Primitives } from './primitives.js';
import { type ElementType, TensorMemory } from './tensor-memory.js';

/** What the operations of this folder work with. */
export class Context {
  readonly primitives: Primitives;
  readonly memory = new TensorMemory();

  /** @param type of the operands of products, and of activations that are kept for the backward */
  constructor(
    library: OneDnn,
    readonly type: ElementType,
  ) {
    this.primitives = new Primitives(library);
  }

  /** A tensor as an operand of products, to be kept for the backward. */
  keep(tensor: tf.Tensor, type = this.type): { readonly tensor: tf.Tensor; readonly operand: Operand } {
    const given = this.memory.operandOf(tensor);
    if (type === 'float32') return { tensor, operand: given };
    const kept = this.memory.create(tensor.shape, type);
    this.primitives.copy(given, kept);
    return { tensor: kept.tensor, operand: kept };
  }

  /** The gradient a b of a matrix, written to where it is wanted. */
  gradient(matrix: tf.Tensor, a: Operand, b: Operand): tf.Tensor {
    const target = gradientTargetOf(matrix);
    const gradient = target
      ? this.memory.over(target.values, matrix.shape)
      : this.memory.create(matrix.shape);
    this.primitives.product(a, b, gradient, { accumulate: target?.accumulates ?? false });
    return gradient.tensor;
  }

  /** A tensor as an operand of products, for the time of a call. */
  with<T>(tensor: tf.Tensor, use: (operand: Operand) => T, type = this.type): T {
    const given = this.memory.operandOf(tensor);
    if (type === 'float32') return use(given);
    return this.memory.borrow(tensor.shape, type, (narrow) => {
      this.primitives.copy(given, narrow);
      return use(narrow);
    });
  }
}
