// Element-wise loops over float32 arrays as WebAssembly SIMD, assembled from expressions when the program
// starts: no compiler, no binary in the tree. Opcodes: WebAssembly core specification 2.0, section 5.4.

/** Elements of one iteration. */
export const FLOATS_OF_VECTOR = 4;
const VECTOR_BYTES = 4 * FLOATS_OF_VECTOR;
/** 4 GiB, the limit of 32-bit addresses. */
export const MOST_PAGES = 65536;

/** Code that pushes one vector. */
export type Vector = readonly number[];

const I32 = 0x7f;
const F32 = 0x7d;
const F64 = 0x7c;
const V128 = 0x7b;
const NO_RESULT = 0x40;

const BLOCK = 0x02;
const LOOP = 0x03;
const END = 0x0b;
const BRANCH_IF = 0x0d;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const I32_CONST = 0x41;
const F32_CONST = 0x43;
const I32_LESS = 0x49;
const I32_GREATER_EQUAL = 0x4f;
const I32_ADD = 0x6a;
const F64_ADD = 0xa0;

const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
const unary =
  (opcode: number) =>
  (a: Vector): Vector => [...a, ...simd(opcode)];
const binary =
  (opcode: number) =>
  (a: Vector, b: Vector): Vector => [...a, ...b, ...simd(opcode)];

/** Arithmetic on four float32, each operation rounded on its own (IEEE 754). */
export const add = binary(0xe4);
export const sub = binary(0xe5);
export const mul = binary(0xe6);
export const div = binary(0xe7);
export const sqrt = unary(0xe3);
export const abs = unary(0xe0);
/** Lane mask: all ones where a >= b. */
export const notLess = binary(0x46);
/** Lane mask: all ones where a = b, hence zero where a is NaN. */
export const equal = binary(0x41);
/** Bitwise operations. */
export const and = binary(0x4e);
export const or = binary(0x50);
/** Returns the bits of a where the mask has ones, otherwise those of b. */
export const select = (a: Vector, b: Vector, mask: Vector): Vector => [...a, ...b, ...mask, ...simd(0x52)];

/** Operations on the lanes as unsigned 32-bit integers. */
export const addIntegers = binary(0xae);
export const shiftLeft = shift(0xab);
export const shiftRight = shift(0xad);
/** Returns a vector with the same 32 bits in all four lanes. */
export const bits = (pattern: number): Vector => {
  const lane = new Uint8Array(Uint32Array.of(pattern).buffer);
  return [...simd(0x0c), ...lane, ...lane, ...lane, ...lane];
};

/** Shifts the lanes by fewer than 32 bits. */
function shift(opcode: number) {
  return (a: Vector, count: number): Vector => [...a, I32_CONST, count, ...simd(opcode)];
}

/** Arrays and numbers that the kernel declares, for the body of a loop. */
export interface LoopBody<A extends string, N extends string> {
  /** Loads the current four elements of an array. */
  load(array: A): Vector;
  store(array: A, value: Vector): void;
  /** Returns an argument of `run`, in all four lanes. */
  number(name: N): Vector;
  constant(value: number): Vector;
  /** Stores a value in a local, to use it several times. */
  let(value: Vector): Vector;
  /** Adds the squares of the lanes to the kernel's result, in double precision. */
  sumSquares(value: Vector): void;
}

/** A compiled loop over arrays in one memory. */
export interface VectorKernel<A extends string, N extends string> {
  /**
   * @param numFloats a multiple of 4
   * @param starts byte offset of each array
   * @returns the sum of the body's `sumSquares`
   */
  run(
    memory: WebAssembly.Memory,
    numFloats: number,
    starts: Readonly<Record<A, number>>,
    numbers: Readonly<Record<N, number>>,
  ): number;
}

export function vectorKernel<A extends string, N extends string>(
  arrays: readonly A[],
  numbers: readonly N[],
  write: (body: LoopBody<A, N>) => void,
): VectorKernel<A, N> {
  const modules = new Map<boolean, WebAssembly.Module>();
  const moduleFor = ({ buffer }: WebAssembly.Memory) => {
    const isShared = buffer instanceof SharedArrayBuffer;
    const module =
      modules.get(isShared) ?? new WebAssembly.Module(moduleOf(arrays, numbers, write, isShared));
    modules.set(isShared, module);
    return module;
  };
  const instances = new WeakMap<WebAssembly.Memory, WebAssembly.Instance>();
  return {
    run(memory, numFloats, starts, values) {
      let instance = instances.get(memory);
      if (!instance) {
        instance = new WebAssembly.Instance(moduleFor(memory), { env: { memory } });
        instances.set(memory, instance);
      }
      const end = starts[arrays[0]!] + numFloats * 4;
      const run = instance.exports.run as (...args: number[]) => number;
      return run(...arrays.map((name) => starts[name]), end, ...numbers.map((name) => values[name]));
    },
  };
}

/** Assembles a module with one function: run(start of each array, end of the first, numbers): f64. */
function moduleOf<A extends string, N extends string>(
  arrays: readonly A[],
  numbers: readonly N[],
  write: (body: LoopBody<A, N>) => void,
  isShared: boolean,
): Uint8Array<ArrayBuffer> {
  const parameters = [...arrays.map(() => I32), I32, ...numbers.map(() => F32)];
  const end = arrays.length;
  const before: number[] = [];
  const loop: number[] = [];
  let numVectors = 0;
  const vectorIn = (code: number[], value: Vector): Vector => {
    const local = parameters.length + numVectors++;
    code.push(...value, LOCAL_SET, ...unsigned(local));
    return [LOCAL_GET, ...unsigned(local)];
  };
  const pointer = (array: A) => [LOCAL_GET, ...unsigned(arrays.indexOf(array))];
  const memoryArgument = [4, 0];
  const splat = (scalar: readonly number[]) => vectorIn(before, [...scalar, ...simd(0x13)]);
  const splatted = new Map(numbers.map((name, i) => [name, splat([LOCAL_GET, ...unsigned(end + 1 + i)])]));
  const sums = [0, 0].map(() => vectorIn(before, splat([F32_CONST, 0, 0, 0, 0])));
  const addTo = (sum: Vector, doubles: Vector) =>
    loop.push(...sum, ...doubles, ...simd(0xf0), LOCAL_SET, ...sum.slice(1));

  write({
    load: (array) => [...pointer(array), ...simd(0x00), ...memoryArgument],
    store: (array, value) => loop.push(...pointer(array), ...value, ...simd(0x0b), ...memoryArgument),
    number: (name) => splatted.get(name)!,
    constant: (value) => splat([F32_CONST, ...new Uint8Array(Float32Array.of(value).buffer)]),
    let: (value) => vectorIn(loop, value),
    sumSquares(value) {
      const upperLanes = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];
      const swapped = [...value, ...value, ...simd(0x0d), ...upperLanes];
      [value, swapped].forEach((lanes, half) => {
        const doubles = vectorIn(loop, [...lanes, ...simd(0x5f)]);
        addTo(sums[half]!, [...doubles, ...doubles, ...simd(0xf2)]);
      });
    },
  });

  const advance = arrays.flatMap((array) => [
    ...pointer(array),
    I32_CONST,
    VECTOR_BYTES,
    I32_ADD,
    LOCAL_SET,
    ...pointer(array).slice(1),
  ]);
  const position = pointer(arrays[0]!);
  const endOfFirst = [LOCAL_GET, ...unsigned(end)];
  const lane = (sum: Vector, index: number) => [...sum, ...simd(0x21), index];
  const code = [
    ...before,
    BLOCK,
    NO_RESULT,
    ...position,
    ...endOfFirst,
    I32_GREATER_EQUAL,
    BRANCH_IF,
    0,
    LOOP,
    NO_RESULT,
    ...loop,
    ...advance,
    ...position,
    ...endOfFirst,
    I32_LESS,
    BRANCH_IF,
    0,
    END,
    END,
    ...lane(sums[0]!, 0),
    ...lane(sums[0]!, 1),
    F64_ADD,
    ...lane(sums[1]!, 0),
    ...lane(sums[1]!, 1),
    F64_ADD,
    F64_ADD,
    END,
  ];
  const locals = [1, ...unsigned(numVectors), V128];
  const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content];
  const sized = (content: readonly number[]) => [...unsigned(content.length), ...content];
  // A memory of any size can be imported, but the module declares whether it is shared.
  const memoryType = isShared ? [3, 0, ...unsigned(MOST_PAGES)] : [0, 0];
  const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
  const text = (name: string) => sized(bytesOf(name));
  return Uint8Array.from([
    ...bytesOf('\0asm'),
    1,
    0,
    0,
    0,
    ...section(1, [1, 0x60, ...sized(parameters), 1, F64]),
    ...section(2, [1, ...text('env'), ...text('memory'), 2, ...memoryType]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text('run'), 0, 0]),
    ...section(10, [1, ...sized([...locals, ...code])]),
  ]);
}

/** Encodes an integer as unsigned LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
