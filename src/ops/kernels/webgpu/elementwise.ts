import type { tf } from '../../tensorflow.js';
import { CUBIC, SLOPE } from '../tensorflow/gelu.js';
import type { Shader } from './commands.js';
import { GROUP } from './device.js';
import type { DeviceMemory } from './device-memory.js';

/** Invocations of a workgroup, each of which computes an element. */
const WIDTH = 256;

/**
 * Returns a shader whose invocations compute the element i of the outputs each.
 *
 * @param params fields of its parameters after the length
 * @param names of its arrays, of which the last `numOutputs` are written
 * @param body statements in WGSL
 */
export function elementwise(
  name: string,
  params: string,
  names: readonly string[],
  numOutputs: number,
  body: string,
): Shader {
  const bindings = names.map((each, i) => {
    const access = i < names.length - numOutputs ? 'read' : 'read_write';
    return `@group(0) @binding(${i + 1}) var<storage, ${access}> ${each}: array<f32>;`;
  });
  return {
    name,
    code: `
struct Params { length: u32, ${params} }
@group(0) @binding(0) var<uniform> p: Params;
${bindings.join('\n')}
${GROUP}
/** x is clamped so that exp does not overflow. */
fn logistic(x: f32) -> f32 { return 1 / (1 + exp(-clamp(x, -80, 80))); }

@compute @workgroup_size(${WIDTH})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let i = numberOf(group) * ${WIDTH}u + index;
  if (i >= p.length) { return; }
  ${body}
}
`,
  };
}

/** Runs a shader of `elementwise` for `length` elements. */
export function runElementwise(
  { device }: DeviceMemory,
  shader: Shader,
  buffers: readonly number[],
  length: number,
  params: readonly number[] = [],
): void {
  device.run(shader, buffers, [length, ...params], Math.ceil(length / WIDTH));
}

const ADD = elementwise('add', '', ['x', 'y', 'sum'], 1, 'sum[i] = x[i] + y[i];');

/** Implements `Kernels.add`. */
export function add(memory: DeviceMemory, x: tf.Tensor, y: tf.Tensor): tf.Tensor {
  const sum = memory.create(x.shape);
  runElementwise(memory, ADD, [memory.bufferOf(x), memory.bufferOf(y), sum.buffer], x.size);
  return sum.tensor;
}

/** GELU(x) = x logistic(z), z = SLOPE x + CUBIC x^3, and its derivative. */
const GELU = elementwise(
  'gelu',
  '',
  ['before', 'hidden'],
  1,
  `let x = before[i]; hidden[i] = x * logistic(x * (${SLOPE} + ${CUBIC} * x * x));`,
);
const GELU_BACKWARD = elementwise(
  'gradient of gelu',
  '',
  ['before', 'dHidden', 'hidden', 'dBefore'],
  2,
  `let x = before[i];
  let share = logistic(x * (${SLOPE} + ${CUBIC} * x * x));
  hidden[i] = x * share;
  dBefore[i] = dHidden[i] * share * (1 + x * (${SLOPE} + ${3 * CUBIC} * x * x) * (1 - share));`,
);
const SWIGLU = elementwise(
  'swiglu',
  '',
  ['gate', 'before', 'hidden'],
  1,
  'hidden[i] = gate[i] * logistic(gate[i]) * before[i];',
);
const SWIGLU_BACKWARD = elementwise(
  'gradient of swiglu',
  '',
  ['gate', 'before', 'dHidden', 'hidden', 'dGate', 'dBefore'],
  3,
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
