import type { tf } from '../../tensorflow.js';
import { CUBIC, SLOPE } from '../tensorflow/gelu.js';
import type { DeviceMemory } from './device-memory.js';
import { elementwise, runElementwise } from './shaders.js';

const ADD = elementwise('add', ['x', 'y', 'out sum'], 'sum[i] = x[i] + y[i];');

/** Implements `Kernels.add`. */
export function add(memory: DeviceMemory, x: tf.Tensor, y: tf.Tensor): tf.Tensor {
  const sum = memory.create(x.shape);
  runElementwise(memory, ADD, [memory.bufferOf(x), memory.bufferOf(y), sum.buffer], x.size);
  return sum.tensor;
}

/** GELU(x) = x logistic(z), z = SLOPE x + CUBIC x^3, and its derivative. */
const GELU = elementwise(
  'gelu',
  ['before', 'out hidden'],
  `let x = before[i]; hidden[i] = x * logistic(x * (${SLOPE} + ${CUBIC} * x * x));`,
);
const GELU_BACKWARD = elementwise(
  'gradient of gelu',
  ['before', 'dHidden', 'out hidden', 'out dBefore'],
  `let x = before[i];
  let share = logistic(x * (${SLOPE} + ${CUBIC} * x * x));
  hidden[i] = x * share;
  dBefore[i] = dHidden[i] * share * (1 + x * (${SLOPE} + ${3 * CUBIC} * x * x) * (1 - share));`,
);
const SWIGLU = elementwise(
  'swiglu',
  ['gate', 'before', 'out hidden'],
  'hidden[i] = gate[i] * logistic(gate[i]) * before[i];',
);
const SWIGLU_BACKWARD = elementwise(
  'gradient of swiglu',
  ['gate', 'before', 'dHidden', 'out hidden', 'out dGate', 'out dBefore'],
  `let x = gate[i];
  let share = logistic(x);
  hidden[i] = x * share * before[i];
  dGate[i] = dHidden[i] * before[i] * share * (1 + x * (1 - share));
  dBefore[i] = dHidden[i] * x * share;`,
);

/** Computes hidden units from the products of the input matrices: GELU of one, or SiLU of the first times the second. */
export function activation(memory: DeviceMemory, before: readonly tf.Tensor[]): tf.Tensor2D {
  const hidden = memory.create(before[0]!.shape);
  const buffers = [...before.map((each) => memory.bufferOf(each)), hidden.buffer];
  runElementwise(memory, before.length === 1 ? GELU : SWIGLU, buffers, before[0]!.size);
  return hidden.tensor as tf.Tensor2D;
}

/** Returns the hidden units and the gradients of the products before them. */
export function activationBackward(
  memory: DeviceMemory,
  before: readonly tf.Tensor[],
  dHidden: tf.Tensor,
): { readonly hidden: tf.Tensor2D; readonly dBefore: readonly tf.Tensor2D[] } {
  const [hidden, ...dBefore] = [dHidden, ...before].map(({ shape }) => memory.create(shape));
  const inputs = [...before, dHidden].map((each) => memory.bufferOf(each));
  const outputs = [hidden!, ...dBefore].map(({ buffer }) => buffer);
  const shader = before.length === 1 ? GELU_BACKWARD : SWIGLU_BACKWARD;
  runElementwise(memory, shader, [...inputs, ...outputs], dHidden.size);
  return {
    hidden: hidden!.tensor as tf.Tensor2D,
    dBefore: dBefore.map(({ tensor }) => tensor as tf.Tensor2D),
  };
}
