export { FlatArrays } from './flat-arrays.js';
export {
  abs,
  add,
  and,
  div,
  FLOATS_OF_VECTOR,
  type LoopBody,
  mul,
  notLess,
  sqrt,
  sub,
  type Vector,
  type VectorKernel,
  vectorKernel,
} from './vector-kernel.js';
