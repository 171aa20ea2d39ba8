import type { Operand } from './operand.js';
import { add, linear, logistic, multiply } from './post-ops.js';
import type { Primitives } from './primitives.js';

/**
 * Computes hidden units from the products of the input matrices: GELU of one product, or SiLU of the first times the second.
 *
 * @param hidden output
 */
export function activation(
  primitives: Primitives,
  [first, second]: readonly Operand[],
  hidden: Operand,
): void {
  if (second === undefined) gelu(primitives, first!, hidden);
  else {
    primitives.eltwise('silu', first!, hidden);
    primitives.combine('multiply', hidden, second, hidden);
  }
}

/**
 * Computes the hidden units and the gradients of the products before them.
 *
 * @param gradients outputs; on entry, the last holds the gradient of the hidden units
 */
export function activationBackward(
  primitives: Primitives,
  [first, second]: readonly Operand[],
  hidden: Operand,
  gradients: readonly Operand[],
): void {
  const [dFirst, dSecond] = gradients as [Operand, Operand];
  if (second === undefined) {
    geluBackward(primitives, first!, dFirst, { y: hidden, dx: dFirst });
    return;
  }
  primitives.combine('multiply', dSecond, second, dFirst);
  primitives.eltwiseBackward('silu', first!, dFirst, dFirst);
  primitives.eltwise('silu', first!, hidden);
  primitives.combine('multiply', dSecond, hidden, dSecond);
  primitives.combine('multiply', hidden, second, hidden);
}

// The library's GELU is slow without AVX-512, so float32 uses the functions below.

/** GELU(x) = x logistic(A x + B x^3), in its tanh form. */
const A = Math.sqrt(8 / Math.PI);
const B = 0.044715 * A;

/** Computes y = GELU(x). */
function gelu(primitives: Primitives, x: Operand, y: Operand): void {
  if (x.values instanceof Float32Array)
    primitives.combine('multiply', x, x, y, [linear(B, A), multiply(x), logistic, multiply(x)]);
  else primitives.eltwise('geluTanh', x, y);
}

/** Computes y = GELU(x) and dx = dy GELU'(x); `dx` may be `dy`. */
function geluBackward(
  primitives: Primitives,
  x: Operand,
  dy: Operand,
  { y, dx }: { readonly y: Operand; readonly dx: Operand },
): void {
  if (!(x.values instanceof Float32Array)) {
    primitives.eltwise('geluTanh', x, y);
    primitives.eltwiseBackward('geluTanh', x, dy, dx);
    return;
  }
  // Let q = 1 - logistic(A x + B x^3): GELU(x) = x (1 - q), GELU'(x) = (1 + x (A + 3 B x^2) q) (1 - q).
  const q = y;
  primitives.combine('multiply', x, x, q, [linear(-B, -A), multiply(x), logistic]);
  const inner = [linear(3 * B, A), multiply(x), multiply(q), linear(1, 1)];
  primitives.combine('multiply', x, x, dx, [...inner, multiply(dy)]);
  primitives.combine('multiply', q, dx, dx, [linear(-1, 0), add(dx)]);
  primitives.combine('multiply', q, x, y, [linear(-1, 0), add(x)]);
}
