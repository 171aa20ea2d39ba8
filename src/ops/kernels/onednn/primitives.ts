import {
  ALGORITHM,
  ARGUMENT,
  BACKWARD,
  check,
  create,
  type Handle,
  IMPLEMENTATION,
  type OneDnn,
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
import { PrimitiveCache } from './primitive-cache.js';

/** Products in blocks. */
const ROWWISE = 'brg_matmul';

/** What a product does with its result, in this order. */
export interface ProductOptions {
  /** Factor on the product. */
  readonly scale?: number;
  /** Adds to what the result holds. */
  readonly accumulate?: boolean;
  /** Float32, 1 long in dimensions along which it is repeated. */
  readonly addend?: Operand;
  /** Float32, of each element of the result. */
  readonly factor?: Operand;
}

/** Operations of oneDNN on arrays in memory. Each is compiled for its shapes at its first call. */
export class Primitives {
  readonly #cache: PrimitiveCache;

  constructor(readonly library: OneDnn) {
    this.#cache = new PrimitiveCache(library);
  }

  /** result = a b, with leading dimensions for batches. */
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
    const names = [ARGUMENT.source, ARGUMENT.weights, ARGUMENT.result];
    this.#runWith('product', names, [a, b, result], postOps, ([source, weights, target], attr) =>
      this.#matmul(source, weights, target, attr),
    );
  }

  /**
   * The first implementation that gives a row the same bits however many rows there are. Without AVX-512 it is not the
   * library's first choice, whose last few rows are summed in another order.
   */
  #matmul(source: Handle, weights: Handle, target: Handle, attr: Handle): Handle {
    const desc = this.#create('matmul', this.library.engine, source, weights, null, target, attr);
    const { implementation, nextImplementation, primitiveDescDestroy } = this.library.calls;
    const name: [string | null] = [null];
    do {
      check('implementation', implementation(desc, IMPLEMENTATION, 0, name));
      if (name[0]!.startsWith(ROWWISE)) return desc;
    } while (nextImplementation(desc) === 0);
    primitiveDescDestroy(desc);
    return this.#create('matmul', this.library.engine, source, weights, null, target, attr);
  }

  /** Copies between types and layouts. */
  copy(from: Operand, to: Operand): void {
    const { engine } = this.library;
    this.#cache.run(
      `copy ${keyOf(from)} ${keyOf(to)}`,
      [ARGUMENT.source, ARGUMENT.result],
      [from, to],
      ([source, result]) => this.#create('reorder', source, engine, result, engine, null),
    );
  }

  /** result = a + b or a b, element by element; b is 1 long in dimensions along which it is repeated. */
  combine(
    operation: 'add' | 'multiply',
    a: Operand,
    b: Operand,
    result: Operand,
    postOps: readonly PostOp[] = [],
  ): void {
    const names = [ARGUMENT.source, ARGUMENT.source1, ARGUMENT.result];
    this.#runWith(operation, names, [a, b, result], postOps, ([first, second, target], attr) =>
      this.#create('binary', this.library.engine, ALGORITHM[operation], first, second, target, attr),
    );
  }

  /** GELU in its tanh form. */
  gelu(x: Operand, y: Operand): void {
    this.#cache.run(`gelu ${keyOf(x)} ${keyOf(y)}`, [ARGUMENT.source, ARGUMENT.result], [x, y], (descs) =>
      this.#gelu(descs),
    );
  }

  /** dx = dy GELU'(x); `dx` may be `dy`. */
  geluBackward(x: Operand, dy: Operand, dx: Operand): void {
    this.#cache.run(
      `gelu backward ${keyOf(x)} ${keyOf(dy)} ${keyOf(dx)}`,
      [ARGUMENT.source, ARGUMENT.dResult, ARGUMENT.dSource],
      [x, dy, dx],
      ([data, dResult, dSource]) =>
        this.#hinted(this.#gelu([data, data]), (hint) =>
          this.#create(
            'eltwiseBackward',
            this.library.engine,
            ALGORITHM.geluTanh,
            dSource,
            dResult,
            data,
            0,
            0,
            hint,
            null,
          ),
        ),
    );
  }

  #gelu([source, result]: readonly Handle[]): Handle {
    return this.#create(
      'eltwise',
      this.library.engine,
      TRAINING,
      ALGORITHM.geluTanh,
      source,
      result,
      0,
      0,
      null,
    );
  }

  /** Along the last dimension; `y` may be `x`. */
  softmax(x: Operand, y: Operand): void {
    this.#cache.run(`softmax ${keyOf(x)} ${keyOf(y)}`, [ARGUMENT.source, ARGUMENT.result], [x, y], (descs) =>
      this.#softmax(descs, x.dims.length - 1),
    );
  }

  #softmax([source, result]: readonly Handle[], axis: number): Handle {
    return this.#create(
      'softmax',
      this.library.engine,
      TRAINING,
      ALGORITHM.softmax,
      source,
      result,
      axis,
      null,
    );
  }

  /** Over the last dimension. @param statistics mean and variance of each row */
  layerNorm(
    x: Operand,
    gain: Operand,
    bias: Operand,
    y: Operand,
    [mean, variance]: readonly Operand[],
    epsilon: number,
  ): void {
    this.#cache.run(
      `layer norm ${keyOf(x)} ${keyOf(y)} ${epsilon}`,
      [ARGUMENT.source, ARGUMENT.scale, ARGUMENT.shift, ARGUMENT.result, ARGUMENT.mean, ARGUMENT.variance],
      [x, gain, bias, y, mean!, variance!],
      ([source, , , result, rows]) => this.#layerNorm(source!, result!, rows!, epsilon),
    );
  }

  /** Gradients of x, gain and bias. */
  layerNormBackward(
    x: Operand,
    gain: Operand,
    [mean, variance]: readonly Operand[],
    dy: Operand,
    [dx, dGain, dBias]: readonly Operand[],
    epsilon: number,
  ): void {
    this.#cache.run(
      `layer norm backward ${keyOf(x)} ${keyOf(dy)} ${keyOf(dx!)} ${epsilon}`,
      [
        ...[ARGUMENT.source, ARGUMENT.scale, ARGUMENT.shift, ARGUMENT.mean, ARGUMENT.variance],
        ...[ARGUMENT.dResult, ARGUMENT.dSource, ARGUMENT.dScale, ARGUMENT.dShift],
      ],
      [x, gain, gain, mean!, variance!, dy, dx!, dGain!, dBias!],
      ([source, , , rows, , dResult, dSource]) =>
        this.#hinted(this.#layerNorm(source!, source!, rows!, epsilon), (hint) =>
          this.#create(
            ...([
              'layerNormBackward',
              this.library.engine,
              BACKWARD,
              dSource,
              dResult,
              source,
              rows,
            ] as const),
            ...[epsilon, SCALE_AND_SHIFT, hint, null],
          ),
        ),
    );
  }

  #layerNorm(source: Handle, result: Handle, rows: Handle, epsilon: number): Handle {
    return this.#create(
      'layerNorm',
      this.library.engine,
      TRAINING,
      source,
      result,
      rows,
      epsilon,
      SCALE_AND_SHIFT,
      null,
    );
  }

  /** Runs an operation whose result goes through `postOps`. */
  #runWith(
    name: string,
    names: readonly number[],
    operands: readonly Operand[],
    postOps: readonly PostOp[],
    describe: (descs: readonly Handle[], attr: Handle) => Handle,
  ): void {
    const after = operandsOf(postOps);
    const key = [name, ...operands.map(keyOf), ...postOps.map(keyOfPostOp)].join(' ');
    const allNames = [...names, ...after.map(({ index }) => postOpSource(index))];
    const all = [...operands, ...after.map(({ operand }) => operand)];
    this.#cache.run(key, allNames, all, (descs) =>
      withPostOps(this.library.calls, postOps, descs.slice(operands.length), (attr) => describe(descs, attr)),
    );
  }

  /** A backward operation needs the descriptor of its forward. */
  #hinted(forward: Handle, use: (hint: Handle) => Handle): Handle {
    try {
      return use(forward);
    } finally {
      this.library.calls.primitiveDescDestroy(forward);
    }
  }

  #create(name: Parameters<typeof create>[1], ...args: readonly unknown[]): Handle {
    return create(this.library.calls, name, ...args);
  }
}
