import { mapTuple } from '../../../map-tuple.js';
import { tf } from '../../tensorflow.js';
import type { FusedForward } from '../kernels.js';
import type { DeviceMemory } from './device-memory.js';
import { columnwise, elementwise, runColumnwise, runElementwise } from './shaders.js';

// Shapes: T rows, d coordinates of a row, E groups of d / E coordinates, which are the `size` of the shaders.

const PRODUCTS = elementwise(
  'products of groups',
  ['x', 'factors', 'out y'],
  `
  let factor = (i % p.groups) * p.size;
  var sum = 0.0;
  for (var at = 0u; at < p.size; at++) { sum += x[i * p.size + at] * factors[factor + at]; }
  y[i] = sum * inverseSqrt(f32(p.size));
`,
  ['groups', 'size'],
);

const OF_ROWS = elementwise(
  'gradient of rows in groups',
  ['factors', 'dy', 'out dx'],
  'dx[i] = dy[i / p.size] * factors[i % (p.groups * p.size)] * inverseSqrt(f32(p.size));',
  ['groups', 'size'],
);

const OF_FACTORS = columnwise(
  'gradient of factors of groups',
  ['x', 'dy', 'out dFactors'],
  `
  var sum = 0.0;
  for (var row = 0u; row < p.rows; row++) {
    sum += dy[row * p.groups + column / p.size] * x[row * p.width + column];
  }
  dFactors[column] = sum * inverseSqrt(f32(p.size));
`,
  ['groups', 'size'],
);

/** Implements `Kernels.groupProducts`, of which the host reads only the products. */
export function groupProducts(
  memory: DeviceMemory,
  xTD: tf.Tensor2D,
  numGroups: number,
  factorsD: tf.Tensor1D | null,
): FusedForward<[x: tf.Tensor, factors: tf.Tensor]> {
  const [numRows, d] = xTD.shape;
  const params = [numGroups, d / numGroups];
  const y = memory.create([numRows, numGroups]);
  const saved = [xTD, factorsD ?? tf.ones([d])] as const;
  const inputs = mapTuple(saved, (each) => memory.bufferOf(each));
  runElementwise(memory, PRODUCTS, [...inputs, y.buffer], numRows * numGroups, params);
  return {
    value: y.tensor,
    saved: [...saved],
    backward: (dyTE, kept) => {
      const [x, factors, dy] = mapTuple([...kept, dyTE], (each) => memory.bufferOf(each));
      const dx = memory.create(xTD.shape);
      runElementwise(memory, OF_ROWS, [factors!, dy!, dx.buffer], xTD.size, params);
      if (factorsD === null) return [dx.tensor];
      const dFactors = memory.create([d]);
      runColumnwise(memory, OF_FACTORS, [x!, dy!, dFactors.buffer], [numRows, d], params);
      return [dx.tensor, dFactors.tensor];
    },
  };
}
