import { mapTuple } from '../../../map-tuple.js';
import { LAYER_NORM_EPSILON } from '../../on-host.js';
import { tf } from '../../tensorflow.js';
import type { FusedForward } from '../kernels.js';
import { bitsOf } from './device.js';
import type { DeviceMemory } from './device-memory.js';
import { columnwise, elementwise, rowwise, runColumnwise, runElementwise } from './shaders.js';

const FORWARD = rowwise(
  'layer norm',
  ['x', 'gain', 'bias', 'out y', 'out means', 'out inverses'],
  `
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
  ['x', 'gain', 'means', 'inverses', 'dy', 'out dx'],
  `
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

/** Sums dy n and dy over the rows. */
const OF_GAIN_AND_BIAS = columnwise(
  'gradient of gain and bias',
  ['x', 'means', 'inverses', 'dy', 'out dGain', 'out dBias'],
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
      runColumnwise(memory, OF_GAIN_AND_BIAS, buffers, [numRows, width]);
      return [dx.tensor, dGain.tensor, dBias.tensor];
    },
  };
}

const RMS_FORWARD = rowwise(
  'rms norm',
  ['x', 'gain', 'out y', 'out inverses'],
  `
  var part = 0.0;
  for (var i = index; i < p.width; i += WIDTH) { part += x[begin + i] * x[begin + i]; }
  let inverse = 1 / sqrt(total(part, index) / f32(p.width) + bitcast<f32>(p.epsilon));
  for (var i = index; i < p.width; i += WIDTH) { y[begin + i] = x[begin + i] * inverse * gain[i]; }
  if (index == 0) { inverses[row] = inverse; }
`,
  ['epsilon'],
);

/** With n the normalised input and g = dy gain: dx = (g - n mean(g n)) / rms. */
const RMS_BACKWARD = rowwise(
  'gradient of rms norm',
  ['x', 'gain', 'inverses', 'dy', 'out dx'],
  `
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
  ['x', 'inverses', 'dy', 'out dGain'],
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
      runColumnwise(memory, OF_RMS_GAIN, ofGain, [numRows, width]);
      return [dx.tensor, dGain.tensor];
    },
  };
}

/** Implements `Kernels.unitRows`: an rms norm whose gain is 1 / sqrt(d). */
export function unitRows(memory: DeviceMemory, xTD: tf.Tensor2D, least: number): FusedForward {
  const d = xTD.shape[1];
  const { value, saved, backward } = rmsNorm(memory, xTD, tf.fill([d], 1 / Math.sqrt(d)), least / d);
  return { value, saved, backward: (dyTD, kept) => backward(dyTD, kept as typeof saved).slice(0, 1) };
}

const OF_BIAS = columnwise(
  'gradient of bias',
  ['dy', 'out dBias'],
  `
  var sum = 0.0;
  for (var row = 0u; row < p.rows; row++) { sum += dy[row * p.width + column]; }
  dBias[column] = sum;
`,
);

const ADD_BIAS = elementwise('add bias', ['x', 'bias', 'out y'], 'y[i] = x[i] + bias[i % p.width];', [
  'width',
]);

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
      runColumnwise(memory, OF_BIAS, buffers, [numRows, width]);
      return [dyTD, dBias.tensor];
    },
  };
}
