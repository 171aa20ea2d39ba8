import { mapTuple } from '../../../map-tuple.js';
import { LAYER_NORM_EPSILON } from '../../on-host.js';
import type { tf } from '../../tensorflow.js';
import type { FusedForward } from '../kernels.js';
import type { Shader } from './commands.js';
import { bitsOf, GROUP } from './device.js';
import type { DeviceMemory } from './device-memory.js';
import { elementwise, runElementwise } from './elementwise.js';
import { rowwise } from './rows.js';

const FORWARD = rowwise(
  'layer norm',
  `
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> means: array<f32>;
@group(0) @binding(6) var<storage, read_write> inverses: array<f32>;
`,
  `
  if (row >= p.rows) { return; }
  let begin = row * p.width;
  var part = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { part += x[begin + i]; }
  let mean = total(part, index) / f32(p.width);
  part = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { part += (x[begin + i] - mean) * (x[begin + i] - mean); }
  let inverse = 1 / sqrt(total(part, index) / f32(p.width) + ${LAYER_NORM_EPSILON});
  for (var i = index; i < p.width; i += WIDTH) { y[begin + i] = (x[begin + i] - mean) * inverse * gain[i] + bias[i]; }
  if (index == 0) { means[row] = mean; inverses[row] = inverse; }
`,
);

/** With n the normalised input and g = dy gain: dx = (g - mean(g) - n mean(g n)) / std. */
const BACKWARD = rowwise(
  'gradient of layer norm',
  `
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(4) var<storage, read> inverses: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
`,
  `
  if (row >= p.rows) { return; }
  let begin = row * p.width;
  let mean = means[row];
  let inverse = inverses[row];
  var sum = 0.0;
  var along = 0.0;
  for (var i = index; i < p.width; i += WIDTH) {
    let g = dy[begin + i] * gain[i];
    sum += g;
    along += g * (x[begin + i] - mean) * inverse;
  }
  let meanOfG = total(sum, index) / f32(p.width);
  let meanAlong = total(along, index) / f32(p.width);
  for (var i = index; i < p.width; i += WIDTH) {
    let normal = (x[begin + i] - mean) * inverse;
    dx[begin + i] = inverse * (dy[begin + i] * gain[i] - meanOfG - normal * meanAlong);
  }
`,
);

/**
 * A shader whose invocations compute a column each.
 *
 * @param bindings after that of the parameters
 */
function columnwise(name: string, bindings: string, body: string): Shader {
  return {
    name,
    code: `
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> p: Params;
${bindings}
${GROUP}
@compute @workgroup_size(${COLUMNS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let column = numberOf(group) * ${COLUMNS} + index;
  if (column >= p.width) { return; }
  ${body}
}
`,
  };
}

/** Columns of a workgroup of `columnwise`. */
const COLUMNS = 64;

/** Sums dy n and dy over the rows. */
const OF_GAIN_AND_BIAS = columnwise(
  'gradient of gain and bias',
  `
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> means: array<f32>;
@group(0) @binding(3) var<storage, read> inverses: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dGain: array<f32>;
@group(0) @binding(6) var<storage, read_write> dBias: array<f32>;
`,
  `
  var ofGain = 0.0;
  var ofBias = 0.0;
  for (var row = 0u; row < p.rows; row++) {
    let gradient = dy[row * p.width + column];
    ofGain += gradient * (x[row * p.width + column] - means[row]) * inverses[row];
    ofBias += gradient;
  }
  dGain[column] = ofGain;
  dBias[column] = ofBias;
`,
);

/** Implements `Kernels.layerNorm`. */
export function layerNorm(
  memory: DeviceMemory,
  xTD: tf.Tensor,
  gainD: tf.Tensor,
  biasD: tf.Tensor,
): FusedForward<[x: tf.Tensor, gain: tf.Tensor, mean: tf.Tensor, inverse: tf.Tensor]> {
  const { device } = memory;
  const [numRows, width] = xTD.shape as [number, number];
  const [y, mean, inverse] = [memory.create(xTD.shape), memory.create([numRows]), memory.create([numRows])];
  const outputs = [y, mean, inverse].map(({ buffer }) => buffer);
  const inputs = [xTD, gainD, biasD].map((each) => memory.bufferOf(each));
  device.run(FORWARD, [...inputs, ...outputs], [numRows, width], numRows);
  return {
    value: y.tensor,
    saved: [xTD, gainD, mean.tensor, inverse.tensor],
    backward: (dyTD, saved) => {
      const [dx, dGain, dBias] = mapTuple([xTD, gainD, gainD], ({ shape }) => memory.create(shape));
      const [x, gain, means, inverses] = mapTuple(saved, (each) => memory.bufferOf(each));
      const dy = memory.bufferOf(dyTD);
      device.run(BACKWARD, [x, gain, means, inverses, dy, dx.buffer], [numRows, width], numRows);
      const buffers = [x, means, inverses, dy, dGain.buffer, dBias.buffer];
      device.run(OF_GAIN_AND_BIAS, buffers, [numRows, width], Math.ceil(width / COLUMNS));
      return [dx.tensor, dGain.tensor, dBias.tensor];
    },
  };
}

const RMS_FORWARD = rowwise(
  'rms norm',
  `
struct Params { rows: u32, width: u32, epsilon: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> inverses: array<f32>;
`,
  `
  if (row >= p.rows) { return; }
  let begin = row * p.width;
  var part = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { part += x[begin + i] * x[begin + i]; }
  let inverse = 1 / sqrt(total(part, index) / f32(p.width) + bitcast<f32>(p.epsilon));
  for (var i = index; i < p.width; i += WIDTH) { y[begin + i] = x[begin + i] * inverse * gain[i]; }
  if (index == 0) { inverses[row] = inverse; }
`,
);

/** With n the normalised input and g = dy gain: dx = (g - n mean(g n)) / rms. */
const RMS_BACKWARD = rowwise(
  'gradient of rms norm',
  `
struct Params { rows: u32, width: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> inverses: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
`,
  `
  if (row >= p.rows) { return; }
  let begin = row * p.width;
  let inverse = inverses[row];
  var along = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { along += dy[begin + i] * gain[i] * x[begin + i] * inverse; }
  let meanAlong = total(along, index) / f32(p.width);
  for (var i = index; i < p.width; i += WIDTH) {
    dx[begin + i] = inverse * (dy[begin + i] * gain[i] - x[begin + i] * inverse * meanAlong);
  }
`,
);

const OF_RMS_GAIN = columnwise(
  'gradient of gain',
  `
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> inverses: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dGain: array<f32>;
`,
  `
  var ofGain = 0.0;
  for (var row = 0u; row < p.rows; row++) {
    ofGain += dy[row * p.width + column] * x[row * p.width + column] * inverses[row];
  }
  dGain[column] = ofGain;
`,
);

/** Implements `Kernels.rmsNorm`. */
export function rmsNorm(
  memory: DeviceMemory,
  xTD: tf.Tensor2D,
  gainD: tf.Tensor,
  epsilon: number,
): FusedForward<[x: tf.Tensor, gain: tf.Tensor, inverse: tf.Tensor]> {
  const { device } = memory;
  const width = gainD.size;
  const numRows = xTD.size / width;
  const [y, inverse] = [memory.create(xTD.shape), memory.create([numRows])];
  const inputs = [memory.bufferOf(xTD), memory.bufferOf(gainD)];
  device.run(RMS_FORWARD, [...inputs, y.buffer, inverse.buffer], [numRows, width, bitsOf(epsilon)], numRows);
  return {
    value: y.tensor,
    saved: [xTD, gainD, inverse.tensor],
    backward: (dyTD, saved) => {
      const [dx, dGain] = mapTuple([xTD, gainD], ({ shape }) => memory.create(shape));
      const [x, gain, inverses] = mapTuple(saved, (each) => memory.bufferOf(each));
      const dy = memory.bufferOf(dyTD);
      device.run(RMS_BACKWARD, [x, gain, inverses, dy, dx.buffer], [numRows, width], numRows);
      const ofGain = [x, inverses, dy, dGain.buffer];
      device.run(OF_RMS_GAIN, ofGain, [numRows, width], Math.ceil(width / COLUMNS));
      return [dx.tensor, dGain.tensor];
    },
  };
}

const OF_BIAS = columnwise(
  'gradient of bias',
  `
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dBias: array<f32>;
`,
  `
  var sum = 0.0;
  for (var row = 0u; row < p.rows; row++) { sum += dy[row * p.width + column]; }
  dBias[column] = sum;
`,
);

const ADD_BIAS = elementwise(
  'add bias',
  'width: u32',
  ['x', 'bias', 'y'],
  1,
  'y[i] = x[i] + bias[i % p.width];',
);

/** Implements `Kernels.addBias`. */
export function addBias(memory: DeviceMemory, xTD: tf.Tensor2D, biasD: tf.Tensor): FusedForward {
  const [numRows, width] = xTD.shape;
  const y = memory.create(xTD.shape);
  const inputs = [memory.bufferOf(xTD), memory.bufferOf(biasD)];
  runElementwise(memory, ADD_BIAS, [...inputs, y.buffer], xTD.size, [width]);
  return {
    value: y.tensor,
    saved: [],
    backward: (dyTD) => {
      const dBias = memory.create(biasD.shape);
      const buffers = [memory.bufferOf(dyTD), dBias.buffer];
      memory.device.run(OF_BIAS, buffers, [numRows, width], Math.ceil(width / COLUMNS));
      return [dyTD, dBias.tensor];
    },
  };
}
