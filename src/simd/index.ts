export { FlatArrays } from './flat-arrays.js';
export {
  abs,
  add,
  and,
  div,
  FLOATS_OF_VECTOR,
  mul,
  notLess,
  sqrt,
  sub,
  type Vector,
  vectorKernel,
} from './vector-kernel.js';
