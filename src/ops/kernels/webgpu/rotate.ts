import type { Rotation } from '../../rotation.js';
import type { tf } from '../../tensorflow.js';
import type { AttentionShape, FusedForward } from '../kernels.js';
import type { DeviceMemory } from './device-memory.js';
import { elementwise, runElementwise } from './shaders.js';

// Shapes: T tokens, P positions, h size of a head, C columns of queries, keys or values.

/**
 * Rotates heads of rows of x, and writes them to rows of y, which may be wider or narrower.
 *
 * `turns` has the cosines and then the sines of each position, [P, h]; `positions` are those of the rows, as floats.
 */
const ROTATE = elementwise(
  'rotate',
  ['x', 'turns', 'positions', 'out y'],
  `
  let row = i / p.columns;
  let column = i % p.columns;
  let half = p.size / 2;
  let inHead = column % p.size;
  let turn = u32(positions[row]) * p.size + inHead % half;
  let at = row * p.xWidth + p.xColumn + column;
  let isFirst = inHead < half;
  let partner = x[select(at - half, at + half, isFirst)];
  let sine = turns[turn + half] * select(1.0, -1.0, isFirst == (p.isInverse == 0));
  y[row * p.yWidth + p.yColumn + column] = x[at] * turns[turn] + partner * sine;
`,
  ['columns', 'xWidth', 'xColumn', 'yWidth', 'yColumn', 'size', 'isInverse'],
);

/** Copies columns of rows of x to columns of rows of y. */
const COPY = elementwise(
  'copy columns',
  ['x', 'out y'],
  `
  let row = i / p.columns;
  let column = i % p.columns;
  y[row * p.yWidth + p.yColumn + column] = x[row * p.xWidth + p.xColumn + column];
`,
  ['columns', 'xWidth', 'xColumn', 'yWidth', 'yColumn'],
);

/** Implements `Kernels.rotate`. */
export function rotate(
  memory: DeviceMemory,
  parts: readonly tf.Tensor2D[],
  rotation: Rotation | null,
  { seqLen, positionsT }: AttentionShape,
): FusedForward {
  const numRows = parts[0]!.shape[0];
  const widths = parts.map(({ shape }) => shape[1]);
  const width = widths.reduce((sum, each) => sum + each, 0);
  const positions = Float32Array.from({ length: numRows }, (_, row) => positionsT?.[row] ?? row % seqLen);
  const size = rotation?.size ?? 0;
  const turns = new Float32Array(seqLen * size);
  if (rotation !== null)
    for (let position = 0; position < seqLen; position++)
      turns.set(rotation.turnsAt(position), position * size);
  /** Moves each part between its own rows and its columns of the concatenation, and may turn queries and keys. */
  const move = (all: number, own: readonly number[], isInverse: boolean) =>
    memory.borrow(turns, (ofPositions) =>
      memory.borrow(positions, (ofRows) => {
        let column = 0;
        widths.forEach((columns, part) => {
          const [from, to] = isInverse ? [all, own[part]!] : [own[part]!, all];
          const places = isInverse ? [width, column, columns, 0] : [columns, 0, width, column];
          const length = numRows * columns;
          if (part === 2 || rotation === null)
            runElementwise(memory, COPY, [from, to], length, [columns, ...places]);
          else {
            const params = [columns, ...places, size, Number(isInverse)];
            runElementwise(memory, ROTATE, [from, ofPositions, ofRows, to], length, params);
          }
          column += columns;
        });
      }),
    );
  const qkv = memory.create([numRows, width]);
  const inputs = parts.map((part) => memory.bufferOf(part));
  move(qkv.buffer, inputs, false);
  return {
    value: qkv.tensor,
    saved: [],
    backward: (dyTC) => {
      const gradients = parts.map(({ shape }) => memory.create(shape));
      const outputs = gradients.map(({ buffer }) => buffer);
      move(memory.bufferOf(dyTC), outputs, true);
      return gradients.map(({ tensor }) => tensor);
    },
  };
}
