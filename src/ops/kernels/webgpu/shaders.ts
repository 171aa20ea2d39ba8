import type { Shader } from './commands.js';
import { MOST_GROUPS } from './device.js';
import type { DeviceMemory } from './device-memory.js';

// The parts that shaders share. `p` are their parameters, words of 32 bits.

/**
 * Declares parameters and arrays in WGSL.
 *
 * @param arrays in the order of their bindings: names of arrays of floats, after `u32 ` of integers, after `out ` of what is written
 */
export function declare(params: readonly string[], arrays: readonly string[]): string {
  const declared = arrays.map((array, i) => {
    const [name, kind] = array.split(' ').reverse() as [string, string?];
    const access = kind === 'out' ? 'read_write' : 'read';
    const type = kind === 'u32' ? 'u32' : 'f32';
    return `@group(0) @binding(${i + 1}) var<storage, ${access}> ${name}: array<${type}>;`;
  });
  return `
struct Params { ${params.map((name) => `${name}: u32`).join(', ')} }
@group(0) @binding(0) var<uniform> p: Params;
${declared.join('\n')}
fn numberOf(group: vec3u) -> u32 { return group.x + ${MOST_GROUPS}u * group.y; }
`;
}

/** Invocations of a workgroup that computes a row. */
const ROW_INVOCATIONS = 64;

/**
 * Returns a shader whose workgroups each compute a row.
 *
 * @param arrays as in `declare`
 * @param body computes `row`; the invocation `index` has every WIDTH-th column
 * @param params after `rows` and `width`
 */
export function rowwise(
  name: string,
  arrays: readonly string[],
  body: string,
  params: readonly string[] = [],
): Shader {
  return {
    name,
    code: `
${declare(['rows', 'width', ...params], arrays)}
const WIDTH = ${ROW_INVOCATIONS}u;
var<workgroup> parts: array<f32, WIDTH>;

/** Adds up a number of each invocation, always in the same order. */
fn total(part: f32, index: u32) -> f32 {
  parts[index] = part;
  workgroupBarrier();
  for (var half = WIDTH / 2; half > 0; half /= 2) {
    if (index < half) { parts[index] += parts[index + half]; }
    workgroupBarrier();
  }
  let sum = parts[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = numberOf(group);
  if (row >= p.rows) { return; }
  let begin = row * p.width;
  ${body}
}
`,
  };
}

/** Columns of a workgroup of `columnwise`. */
const COLUMNS = 64;

/**
 * Returns a shader whose invocations each sum a column over its rows: `body` computes `column`.
 *
 * @param params after `rows` and `width`
 */
export function columnwise(
  name: string,
  arrays: readonly string[],
  body: string,
  params: readonly string[] = [],
): Shader {
  return {
    name,
    code: `
${declare(['rows', 'width', ...params], arrays)}
@compute @workgroup_size(${COLUMNS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let column = numberOf(group) * ${COLUMNS} + index;
  if (column >= p.width) { return; }
  ${body}
}
`,
  };
}

/** Runs a shader of `columnwise`. */
export function runColumnwise(
  { device }: DeviceMemory,
  shader: Shader,
  buffers: readonly number[],
  [numRows, width]: readonly [number, number],
  params: readonly number[] = [],
): void {
  device.run(shader, buffers, [numRows, width, ...params], Math.ceil(width / COLUMNS));
}

/** Elements of a workgroup of `elementwise`. */
const ELEMENTS = 256;

/**
 * Returns a shader whose invocations each compute the element i of the outputs.
 *
 * @param arrays as in `declare`
 * @param body statements in WGSL
 * @param params after the number of elements
 */
export function elementwise(
  name: string,
  arrays: readonly string[],
  body: string,
  params: readonly string[] = [],
): Shader {
  return {
    name,
    code: `
${declare(['length', ...params], arrays)}
/** x is clamped so that exp does not overflow. */
fn logistic(x: f32) -> f32 { return 1 / (1 + exp(-clamp(x, -80, 80))); }
/** Numbers that are denormal are zero, whether or not the device computes with them. */
fn normal(x: f32) -> f32 { return select(x, 0.0, abs(x) < 0x1p-126f); }

@compute @workgroup_size(${ELEMENTS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let i = numberOf(group) * ${ELEMENTS}u + index;
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
  device.run(shader, buffers, [length, ...params], Math.ceil(length / ELEMENTS));
}
