import { gradientTargetOf } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { OneDnn } from './library.js';
import type { Operand } from './operand.js';
import { chunksOf, rowsOf, transposed } from './operand.js';
import { Primitives } from './primitives.js';
import { type ElementType, TensorMemory } from './tensor-memory.js';

/** Rows of a gradient that are summed at a time; with more, products without AVX-512 are slower. */
const ROWS_OF_A_SUM = 512;

/** Engine, stream and memory that the operations in this folder share. */
export class Context {
  readonly primitives: Primitives;
  readonly memory = new TensorMemory();

  /** @param type type of the operands of products, and of activations that are kept for the backward pass */
  constructor(
    library: OneDnn,
    readonly type: ElementType,
  ) {
    this.primitives = new Primitives(library);
  }

  /** Converts a tensor to an operand of products, to be kept for the backward pass. */
  keep(tensor: tf.Tensor, type = this.type): { readonly tensor: tf.Tensor; readonly operand: Operand } {
    const given = this.memory.operandOf(tensor);
    if (type === 'float32') return { tensor, operand: given };
    const kept = this.memory.create(tensor.shape, type);
    this.primitives.copy(given, kept);
    return { tensor: kept.tensor, operand: kept };
  }

  /** Computes the gradient x^T dy of a matrix, written to the matrix's target if it has one. */
  gradient(matrix: tf.Tensor, xTA: Operand, dyTB: Operand): tf.Tensor {
    const target = gradientTargetOf(matrix);
    const gradient = target
      ? this.memory.over(target.values, matrix.shape)
      : this.memory.create(matrix.shape);
    for (const place of chunksOf(xTA.dims[0]!, ROWS_OF_A_SUM))
      this.primitives.product(transposed(rowsOf(xTA, place)), rowsOf(dyTB, place), gradient, {
        accumulate: place.begin > 0 || (target?.accumulates ?? false),
      });
    return gradient.tensor;
  }

  /** Passes a tensor as an operand of products to `use`; the operand is valid only during the call. */
  with<T>(tensor: tf.Tensor, use: (operand: Operand) => T, type = this.type): T {
    const given = this.memory.operandOf(tensor);
    if (type === 'float32') return use(given);
    return this.memory.borrow(tensor.shape, type, (narrow) => {
      this.primitives.copy(given, narrow);
      return use(narrow);
    });
  }
}
