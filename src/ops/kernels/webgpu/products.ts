import { ifWanted } from '../../gradient-target.js';
import type { tf } from '../../tensorflow.js';
import type { FusedForward } from '../kernels.js';
import type { Shader } from './commands.js';
import type { Device } from './device.js';
import type { DeviceMemory } from './device-memory.js';
import { declare } from './shaders.js';

/** A matrix in a buffer. */
export interface Matrix {
  readonly buffer: number;
  readonly rows: number;
  readonly columns: number;
  /** Index of the first element; 0 by default. */
  readonly begin?: number;
  readonly isTransposed?: boolean;
}

/** Rows and columns of the result that a workgroup computes. */
const TILE = 64;

const PARAMS = [
  'rows',
  'columns',
  'inner',
  'aBegin',
  'aRow',
  'aInner',
  'bBegin',
  'bInner',
  'bColumn',
  'cBegin',
  'accumulates',
];

/**
 * Computes a tile of a product by 16 x 16 invocations of 4 x 4 elements each. An element is the sum over its terms in their order
 * whatever the size of the matrices, so that the bits of a row depend on no other row.
 */
const PRODUCT: Shader = {
  name: 'product',
  code: `
${declare(PARAMS, ['a', 'b', 'out c'])}
const TILE = ${TILE}u;
const DEPTH = 16u;
var<workgroup> ofA: array<f32, TILE * DEPTH>;
var<workgroup> ofB: array<f32, TILE * DEPTH>;

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let firstRow = group.y * TILE;
  let firstColumn = group.x * TILE;
  var sums: array<vec4f, 4>;
  for (var first = 0u; first < p.inner; first += DEPTH) {
    for (var i = index; i < TILE * DEPTH; i += 256u) {
      // Neighbours read neighbouring elements.
      let innerOfA = select(i / TILE, i % DEPTH, p.aInner == 1u);
      let rowOfA = select(i % TILE, i / DEPTH, p.aInner == 1u);
      let row = firstRow + rowOfA;
      var value = 0.0;
      if (row < p.rows && first + innerOfA < p.inner) {
        value = a[p.aBegin + row * p.aRow + (first + innerOfA) * p.aInner];
      }
      ofA[innerOfA * TILE + rowOfA] = value;
      let innerOfB = select(i / TILE, i % DEPTH, p.bInner == 1u);
      let columnOfB = select(i % TILE, i / DEPTH, p.bInner == 1u);
      let column = firstColumn + columnOfB;
      value = 0.0;
      if (column < p.columns && first + innerOfB < p.inner) {
        value = b[p.bBegin + (first + innerOfB) * p.bInner + column * p.bColumn];
      }
      ofB[innerOfB * TILE + columnOfB] = value;
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let atA = k * TILE + 4u * local.y;
      let atB = k * TILE + 4u * local.x;
      let right = vec4f(ofB[atB], ofB[atB + 1u], ofB[atB + 2u], ofB[atB + 3u]);
      for (var i = 0u; i < 4u; i++) { sums[i] += ofA[atA + i] * right; }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let row = firstRow + 4u * local.y + i;
    for (var j = 0u; j < 4u; j++) {
      let column = firstColumn + 4u * local.x + j;
      if (row < p.rows && column < p.columns) {
        let at = p.cBegin + row * p.columns + column;
        c[at] = select(sums[i][j], c[at] + sums[i][j], p.accumulates == 1u);
      }
    }
  }
}
`,
};

/**
 * Computes A B, row-major, into `c`.
 *
 * @param begin index of the first element in `c`
 * @param accumulates whether the product is added to what is there
 */
export function product(
  { device }: Pick<DeviceMemory, 'device'>,
  a: Matrix,
  b: Matrix,
  c: number,
  { begin = 0, accumulates = false } = {},
): void {
  const [aRow, aInner] = stridesOf(a);
  const [bInner, bColumn] = stridesOf(b);
  const [rows, columns] = [a.rows, b.columns];
  const params = [rows, columns, a.columns, a.begin ?? 0, aRow, aInner, b.begin ?? 0, bInner, bColumn];
  const groups = [Math.ceil(columns / TILE), Math.ceil(rows / TILE)] as const;
  device.runGrid(PRODUCT, [a.buffer, b.buffer, c], [...params, begin, Number(accumulates)], groups);
}

/** Returns how far the next row and the next column are. */
function stridesOf({ rows, columns, isTransposed }: Matrix): readonly [row: number, column: number] {
  return isTransposed ? [1, rows] : [columns, 1];
}

export function transposed({ rows, columns, isTransposed = false, ...rest }: Matrix): Matrix {
  return { ...rest, rows: columns, columns: rows, isTransposed: !isTransposed };
}

/** Returns a tensor [T, d] as a matrix. */
export function matrixOf(memory: DeviceMemory, tensor: tf.Tensor): Matrix {
  const [rows, columns] = tensor.shape as [number, number];
  return { buffer: memory.bufferOf(tensor), rows, columns };
}

/** Computes the product of two matrices as a tensor. */
export function productOf(memory: DeviceMemory, a: Matrix, b: Matrix): tf.Tensor2D {
  const { tensor, buffer } = memory.create([a.rows, b.columns]);
  product(memory, a, b, buffer);
  return tensor as tf.Tensor2D;
}

/** Implements `Kernels.matMul`. */
export function matMul(memory: DeviceMemory, xTA: tf.Tensor2D, wAB: tf.Tensor2D): FusedForward {
  const matrices = (...tensors: readonly tf.Tensor[]) => tensors.map((each) => matrixOf(memory, each));
  const [x, w] = matrices(xTA, wAB);
  return {
    value: productOf(memory, x!, w!),
    saved: [xTA, wAB],
    backward: (dyTB, [keptX, keptW]) => {
      const [dy, x, w] = matrices(dyTB, keptX!, keptW!);
      const dx = productOf(memory, dy!, transposed(w!));
      return [dx, ifWanted(keptW!, () => productOf(memory, transposed(x!), dy!))];
    },
  };
}

/** Rows and columns of the matrices of `measureSpeed`. */
const MEASURED = 1024;
/** Time after which a measurement ends. */
const MEASURED_MS = 100;

/** Measures the products of a device, in operations per second. */
export function measureSpeed(device: Device): number {
  const [a, b, c] = [0, 0, 0].map(() => device.create(4 * MEASURED ** 2)) as [number, number, number];
  for (const buffer of [a, b]) device.clear(buffer);
  const matrix = (buffer: number) => ({ buffer, rows: MEASURED, columns: MEASURED });
  const timeOf = (count: number) => {
    const started = performance.now();
    for (let i = 0; i < count; i++) product({ device }, matrix(a), matrix(b), c);
    device.read(c, 1);
    return performance.now() - started;
  };
  timeOf(1);
  let count = 1;
  let ms = timeOf(count);
  while (ms < MEASURED_MS) {
    count *= 2;
    ms = timeOf(count);
  }
  return (2 * MEASURED ** 3 * count) / (ms / 1000);
}
