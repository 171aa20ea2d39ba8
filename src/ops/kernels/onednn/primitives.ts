import {
  ALGORITHM,
  ARGUMENT,
  type Attr,
  BACKWARD,
  check,
  create,
  IMPLEMENTATION,
  type MemoryDesc,
  type OneDnn,
  type PrimitiveDesc,
  postOpSource,
  SCALE_AND_SHIFT,
  TRAINING,
} from './library.js';
import { keyOf, type Operand } from './operand.js';
import {
  add,
  addToResult,
  keyOfPostOp,
  linear,
  multiply,
  operandsOf,
  type PostOp,
  withPostOps,
} from './post-ops.js';
import { type DescsOf, PrimitiveCache } from './primitive-cache.js';

/** Prefix of the implementations that compute products in blocks. */
const ROWWISE = 'brg_matmul';

type Activation = 'geluTanh' | 'silu';

/** Steps that are applied to the result of a product, in this order. */
export interface ProductOptions {
  /** Factor on the product. */
  readonly scale?: number;
  /** Whether to add to the existing content of the result. */
  readonly accumulate?: boolean;
  /** Float32 operand, of size 1 in dimensions along which it is repeated. */
  readonly addend?: Operand;
  /** Float32 factor of each element of the result. */
  readonly factor?: Operand;
}

/** Moments of each row of a layer norm's input. */
interface RowStatistics {
  readonly mean: Operand;
  readonly variance: Operand;
}

/** Operations of oneDNN on arrays in memory. Each is compiled for its shapes when it is first called. */
export class Primitives {
  readonly #cache: PrimitiveCache;

  constructor(private readonly library: OneDnn) {
    this.#cache = new PrimitiveCache(library);
  }

  /** Computes result = a b, with leading dimensions for batches. */
  product(
    a: Operand,
    b: Operand,
    result: Operand,
    { scale = 1, accumulate = false, addend, factor }: ProductOptions = {},
  ): void {
    const postOps = [
      ...(scale === 1 ? [] : [linear(scale, 0)]),
      ...(accumulate ? [addToResult] : []),
      ...(addend === undefined ? [] : [add(addend)]),
      ...(factor === undefined ? [] : [multiply(factor)]),
    ];
    const names = [ARGUMENT.source, ARGUMENT.weights, ARGUMENT.result] as const;
    this.#runWith('product', names, [a, b, result], postOps, ([source, weights, target], attr) =>
      this.#matmul(source, weights, target, attr),
    );
  }

  /**
   * Returns the first implementation whose bits for a row do not depend on the number of rows. Without AVX-512, the
   * library's first choice sums the last few rows in another order.
   */
  #matmul(source: MemoryDesc, weights: MemoryDesc, target: MemoryDesc, attr: Attr | null): PrimitiveDesc {
    const { calls, engine } = this.library;
    const describe = () => create(calls, 'matmul', engine, source, weights, null, target, attr);
    const desc = describe();
    const name: [string | null] = [null];
    do {
      check('implementation', calls.implementation(desc, IMPLEMENTATION, 0, name));
      if (name[0]!.startsWith(ROWWISE)) return desc;
    } while (calls.nextImplementation(desc) === 0);
    calls.primitiveDescDestroy(desc);
    return describe();
  }

  /** Copies between types and layouts. */
  copy(from: Operand, to: Operand): void {
    const { calls, engine } = this.library;
    this.#cache.run(
      `copy ${keyOf(from)} ${keyOf(to)}`,
      [ARGUMENT.source, ARGUMENT.result],
      [from, to],
      ([source, result]) => create(calls, 'reorder', source, engine, result, engine, null),
    );
  }

  /** Computes result = a + b or a b by element; b has size 1 in dimensions along which it is repeated. */
  combine(
    operation: 'add' | 'multiply',
    a: Operand,
    b: Operand,
    result: Operand,
    postOps: readonly PostOp[] = [],
  ): void {
    const { calls, engine } = this.library;
    const names = [ARGUMENT.source, ARGUMENT.source1, ARGUMENT.result] as const;
    this.#runWith(operation, names, [a, b, result], postOps, ([first, second, target], attr) =>
      create(calls, 'binary', engine, ALGORITHM[operation], first, second, target, attr),
    );
  }

  /** Applies a function to each element; GELU is in its tanh form. */
  eltwise(name: Activation, x: Operand, y: Operand): void {
    this.#cache.run(`${name} ${keyOf(x)} ${keyOf(y)}`, [ARGUMENT.source, ARGUMENT.result], [x, y], (descs) =>
      this.#eltwise(name, descs),
    );
  }

  /** Computes dx = dy f'(x) for the function f of that name; `dx` may be `dy`. */
  eltwiseBackward(name: Activation, x: Operand, dy: Operand, dx: Operand): void {
    const { calls, engine } = this.library;
    const algorithm = ALGORITHM[name];
    this.#cache.run(
      `${name} backward ${keyOf(x)} ${keyOf(dy)} ${keyOf(dx)}`,
      [ARGUMENT.source, ARGUMENT.dResult, ARGUMENT.dSource],
      [x, dy, dx],
      ([data, dResult, dSource]) =>
        this.#hinted(this.#eltwise(name, [data, data]), (hint) =>
          create(calls, 'eltwiseBackward', engine, algorithm, dSource, dResult, data, 1, 0, hint, null),
        ),
    );
  }

  #eltwise(name: Activation, [source, result]: readonly [MemoryDesc, MemoryDesc]): PrimitiveDesc {
    const { calls, engine } = this.library;
    return create(calls, 'eltwise', engine, TRAINING, ALGORITHM[name], source, result, 1, 0, null);
  }

  /** Computes the softmax along the last dimension; `y` may be `x`. */
  softmax(x: Operand, y: Operand): void {
    this.#cache.run(`softmax ${keyOf(x)} ${keyOf(y)}`, [ARGUMENT.source, ARGUMENT.result], [x, y], (descs) =>
      this.#softmax(descs, x.dims.length - 1),
    );
  }

  #softmax([source, result]: readonly [MemoryDesc, MemoryDesc], axis: number): PrimitiveDesc {
    const { calls, engine } = this.library;
    return create(calls, 'softmax', engine, TRAINING, ALGORITHM.softmax, source, result, axis, null);
  }

  /** Computes the layer norm over the last dimension; `statistics` is an output. */
  layerNorm(
    x: Operand,
    gain: Operand,
    bias: Operand,
    y: Operand,
    { mean, variance }: RowStatistics,
    epsilon: number,
  ): void {
    this.#cache.run(
      `layer norm ${keyOf(x)} ${keyOf(y)} ${epsilon}`,
      [ARGUMENT.source, ARGUMENT.scale, ARGUMENT.shift, ARGUMENT.result, ARGUMENT.mean, ARGUMENT.variance],
      [x, gain, bias, y, mean, variance],
      ([source, , , result, rows]) => this.#layerNorm(source, result, rows, epsilon),
    );
  }

  /** Computes the gradients of x, gain and bias. */
  layerNormBackward(
    x: Operand,
    gain: Operand,
    { mean, variance }: RowStatistics,
    dy: Operand,
    { dx, dGain, dBias }: { readonly dx: Operand; readonly dGain: Operand; readonly dBias: Operand },
    epsilon: number,
  ): void {
    const { calls, engine } = this.library;
    this.#cache.run(
      `layer norm backward ${keyOf(x)} ${keyOf(dy)} ${keyOf(dx)} ${epsilon}`,
      [
        ARGUMENT.source,
        ARGUMENT.scale,
        ARGUMENT.shift,
        ARGUMENT.mean,
        ARGUMENT.variance,
        ARGUMENT.dResult,
        ARGUMENT.dSource,
        ARGUMENT.dScale,
        ARGUMENT.dShift,
      ],
      [x, gain, gain, mean, variance, dy, dx, dGain, dBias],
      ([source, , , rows, , dResult, dSource]) =>
        this.#hinted(this.#layerNorm(source, source, rows, epsilon), (hint) =>
          create(
            calls,
            'layerNormBackward',
            engine,
            BACKWARD,
            dSource,
            dResult,
            source,
            rows,
            epsilon,
            SCALE_AND_SHIFT,
            hint,
            null,
          ),
        ),
    );
  }

  #layerNorm(source: MemoryDesc, result: MemoryDesc, rows: MemoryDesc, epsilon: number): PrimitiveDesc {
    const { calls, engine } = this.library;
    return create(calls, 'layerNorm', engine, TRAINING, source, result, rows, epsilon, SCALE_AND_SHIFT, null);
  }

  /** Runs an operation whose result is passed through `postOps`. */
  #runWith<const Operands extends readonly Operand[]>(
    name: string,
    names: { readonly [I in keyof Operands]: number },
    operands: Operands,
    postOps: readonly PostOp[],
    describe: (descs: DescsOf<Operands>, attr: Attr | null) => PrimitiveDesc,
  ): void {
    const after = operandsOf(postOps);
    const key = [name, ...operands.map(keyOf), ...postOps.map(keyOfPostOp)].join(' ');
    const allNames = [...names, ...after.map(({ index }) => postOpSource(index))];
    const all = [...operands, ...after.map(({ operand }) => operand)];
    this.#cache.run(key, allNames, all, (descs) =>
      withPostOps(this.library.calls, postOps, descs.slice(operands.length), (attr) =>
        describe(descs as readonly MemoryDesc[] as DescsOf<Operands>, attr),
      ),
    );
  }

  /** Creates the descriptor of a backward operation, which requires that of its forward operation. */
  #hinted(forward: PrimitiveDesc, use: (hint: PrimitiveDesc) => PrimitiveDesc): PrimitiveDesc {
    try {
      return use(forward);
    } finally {
      this.library.calls.primitiveDescDestroy(forward);
    }
  }
}
