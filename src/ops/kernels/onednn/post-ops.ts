import {
  ALGORITHM,
  type Attr,
  check,
  create,
  type MemoryDesc,
  type OneDnn,
  type PrimitiveDesc,
} from './library.js';
import { keyOf, type Operand } from './operand.js';

/** A function that an operation finally applies to each element x of its result. */
export type PostOp =
  | { readonly kind: 'linear'; readonly alpha: number; readonly beta: number }
  | { readonly kind: 'logistic' }
  | { readonly kind: 'accumulate' }
  | { readonly kind: 'add' | 'multiply'; readonly operand: Operand };

/** alpha x + beta */
export const linear = (alpha: number, beta: number): PostOp => ({ kind: 'linear', alpha, beta });
export const logistic: PostOp = { kind: 'logistic' };
/** Adds to the existing content of the result. */
export const addToResult: PostOp = { kind: 'accumulate' };
export const add = (operand: Operand): PostOp => ({ kind: 'add', operand });
export const multiply = (operand: Operand): PostOp => ({ kind: 'multiply', operand });

export function keyOfPostOp(op: PostOp): string {
  if (op.kind === 'linear') return `linear ${op.alpha} ${op.beta}`;
  return 'operand' in op ? `${op.kind} ${keyOf(op.operand)}` : op.kind;
}

/** Returns the operands of the post-ops that have one, with their indices in the list. */
export function operandsOf(
  postOps: readonly PostOp[],
): { readonly operand: Operand; readonly index: number }[] {
  return postOps.flatMap((op, index) => ('operand' in op ? [{ operand: op.operand, index }] : []));
}

/**
 * Passes the attribute with an operation's post-ops to `use`, valid only during the call; null if there are none.
 *
 * @param descs descriptors of `operandsOf`
 * @throws TrainerError `INTERNAL` with the library's status
 */
export function withPostOps(
  calls: OneDnn['calls'],
  postOps: readonly PostOp[],
  descs: readonly MemoryDesc[],
  use: (attr: Attr | null) => PrimitiveDesc,
): PrimitiveDesc {
  if (postOps.length === 0) return use(null);
  const ops = create(calls, 'postOpsCreate');
  const attr = create(calls, 'attrCreate');
  const rest = descs.values();
  const append = (op: PostOp): number => {
    if (op.kind === 'linear') return calls.appendEltwise(ops, ALGORITHM.linear, op.alpha, op.beta);
    if (op.kind === 'logistic') return calls.appendEltwise(ops, ALGORITHM.logistic, 0, 0);
    if (op.kind === 'accumulate') return calls.appendSum(ops, 1, 0, 0);
    return calls.appendBinary(ops, ALGORITHM[op.kind], rest.next().value!);
  };
  try {
    for (const op of postOps) check(`post-op ${op.kind}`, append(op));
    check('attrSetPostOps', calls.attrSetPostOps(attr, ops));
    return use(attr);
  } finally {
    calls.postOpsDestroy(ops);
    calls.attrDestroy(attr);
  }
}
