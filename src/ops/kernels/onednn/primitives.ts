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
import { PrimitiveCache } from './primitive-cache.js';

/** Products in blocks. */
const ROWWISE = 'brg_matmul';

/** What a product does with its result. */
export interface ProductOptions {
  /** Adds to what the result holds. */
  readonly accumulate?: boolean;
  /** Factor on the product. */
  readonly scale?: number;
  /** Added at the end; float32, 1 long in dimensions along which it is repeated. */
  readonly addend?: Operand;
}

/** Operations of oneDNN on arrays in memory. Each is compiled for its shapes at its first call. */
export class Primitives {
  readonly #cache: PrimitiveCache;

  constructor(readonly library: OneDnn) {
    this.#cache = new PrimitiveCache(library);
  }

  /** result = a b, with leading dimensions for batches. */
  product(a: Operand, b: Operand, result: Operand, options: ProductOptions = {}): void {
    const { accumulate = false, scale = 1, addend } = options;
    const key = `product ${keyOf(a)} ${keyOf(b)} ${keyOf(result)} ${accumulate} ${scale} ${addend ? keyOf(addend) : ''}`;
    const operands = addend ? [a, b, result, addend] : [a, b, result];
    const names = [ARGUMENT.source, ARGUMENT.weights, ARGUMENT.result];
    if (addend) names.push(postOpSource((scale === 1 ? 0 : 1) + (accumulate ? 1 : 0)));
    this.#cache.run(key, names, operands, ([source, weights, target, extra]) =>
      this.#withPostOps({ accumulate, scale, addend: extra ?? null }, (attr) =>
        this.#matmul(source, weights, target, attr),
      ),
    );
  }

  /**
   * The first implementation that gives a row the same bits however many rows there are. Without AVX-512 it is not the
   * library's first choice, whose last few rows are summed in another order.
   */
  #matmul(...operands: readonly Handle[]): Handle {
    const [source, weights, target, attr] = operands;
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
  combine(operation: 'add' | 'multiply', a: Operand, b: Operand, result: Operand): void {
    this.#cache.run(
      `${operation} ${keyOf(a)} ${keyOf(b)} ${keyOf(result)}`,
      [ARGUMENT.source, ARGUMENT.source1, ARGUMENT.result],
      [a, b, result],
      ([first, second, target]) =>
        this.#create('binary', this.library.engine, ALGORITHM[operation], first, second, target, null),
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

  /** From the result of `softmax`; `dx` may be `dy`. */
  softmaxBackward(y: Operand, dy: Operand, dx: Operand): void {
    const axis = y.dims.length - 1;
    this.#cache.run(
      `softmax backward ${keyOf(y)} ${keyOf(dy)} ${keyOf(dx)}`,
      [ARGUMENT.result, ARGUMENT.dResult, ARGUMENT.dSource],
      [y, dy, dx],
      ([result, dResult, dSource]) =>
        this.#hinted(this.#softmax([dSource, result], axis), (hint) =>
          this.#create(
            'softmaxBackward',
            this.library.engine,
            ALGORITHM.softmax,
            dSource,
            dResult,
            result,
            axis,
            hint,
            null,
          ),
        ),
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

  #withPostOps(
    { accumulate, scale, addend }: { accumulate: boolean; scale: number; addend: Handle },
    use: (attr: Handle) => Handle,
  ): Handle {
    const { calls } = this.library;
    if (!accumulate && scale === 1 && addend === null) return use(null);
    const ops = this.#create('postOpsCreate');
    const attr = this.#create('attrCreate');
    try {
      if (scale !== 1) check('appendEltwise', calls.appendEltwise(ops, ALGORITHM.linear, scale, 0));
      if (accumulate) check('appendSum', calls.appendSum(ops, 1, 0, 0));
      if (addend !== null) check('appendBinary', calls.appendBinary(ops, ALGORITHM.add, addend));
      check('attrSetPostOps', calls.attrSetPostOps(attr, ops));
      return use(attr);
    } finally {
      calls.postOpsDestroy(ops);
      calls.attrDestroy(attr);
    }
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
