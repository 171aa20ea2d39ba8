import { TrainerError } from '../errors.js';
import { setGradientTarget } from '../ops/gradient-target.js';
import { onGradient } from '../ops/on-gradient.js';
import { tf } from '../ops/tensorflow.js';
import { FlatArrays } from '../simd/index.js';
import { CounterRandom } from './counter-random.js';

/**
 * Initial values; normal ones come from a generator seeded by (seed, name), so they are equal in every
 * layout.
 */
export type Initializer =
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'constant'; readonly value: number };

export interface ParameterSpec {
  /** Global name, e.g. `layers.3.experts.5.w_in`; the same in checkpoints of every layout. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** `shared`: replicated on every rank. `expert`: held by the ranks that own the expert. */
  readonly placement: 'shared' | 'expert';
  /** Whether weight decay applies: to matrices, not to gains, biases and position embeddings. */
  readonly decay: boolean;
}

/** A parameter's elements [begin, end) of a flat array. */
export interface ParameterRange extends ParameterSpec {
  readonly begin: number;
  readonly end: number;
  /** It has no gradient and does not change. */
  readonly frozen: boolean;
}

/**
 * Flat arrays of all parameters of one placement: values, gradients, Adam's moments. Frozen ones are at the end, so that
 * what is exchanged and updated is one piece; otherwise they are in the order of the specs.
 */
export interface ParameterGroup {
  readonly ranges: readonly ParameterRange[];
  /** Those that are not frozen, and how many elements they have. */
  readonly trained: readonly ParameterRange[];
  readonly numTrained: number;
  readonly values: Float32Array;
  readonly gradients: Float32Array;
  /** Takes no memory until an optimizer writes to it. */
  readonly m: Float32Array;
  readonly v: Float32Array;
  /** The four arrays above, in this order, for vector kernels. */
  readonly flat: FlatArrays;
}

export interface ParameterEntry {
  readonly name: string;
  readonly values: Float32Array;
  readonly gradients: Float32Array;
}

/** The port through which layers read parameters. */
export interface ParameterSource {
  /** @throws TrainerError `INTERNAL` if this rank holds no parameter of that name. */
  get(name: string): tf.Tensor;
}

/**
 * The parameters of one rank: two flat float32 arrays (shared, expert) for collectives and the optimizer, and
 * a TensorFlow variable for each parameter for the model.
 *
 * One step: `computeGradients` of each micro-batch; reduce and apply `group.gradients`; `pushValues`.
 */
export class ParameterStore implements ParameterSource {
  readonly shared: ParameterGroup;
  readonly expert: ParameterGroup;
  readonly #variables = new Map<string, tf.Variable>();
  /** While a gradient is recorded: stand-ins of the variables that the model has read. */
  #recorded: Map<string, tf.Tensor> | null = null;
  /** Whether the gradient that is recorded adds to the one in the flat arrays. */
  #accumulates = false;
  /** Parameters with gradients still pending. */
  readonly #unfinished = new Map<ParameterRange, ParameterGroup>();

  constructor(
    readonly specs: readonly ParameterSpec[],
    seed: number,
    isFrozen: (spec: ParameterSpec) => boolean = () => false,
  ) {
    const groupOf = (placement: ParameterSpec['placement']) =>
      makeGroup(
        specs.filter((spec) => spec.placement === placement),
        isFrozen,
      );
    this.shared = groupOf('shared');
    this.expert = groupOf('expert');
    for (const group of [this.shared, this.expert])
      for (const range of group.ranges) {
        if (this.#variables.has(range.name))
          throw new TrainerError('INTERNAL', `parameter ${range.name} is declared twice`);
        initialize(group.values.subarray(range.begin, range.end), range, seed);
        this.#variables.set(
          range.name,
          tf.tidy(() => tf.variable(tensorOf(group, range))),
        );
      }
  }

  get(name: string): tf.Tensor {
    const variable = this.#variables.get(name);
    if (!variable) throw new TrainerError('INTERNAL', `this rank holds no parameter named ${name}`);
    if (!this.#recorded) return variable;
    const known = this.#recorded.get(name);
    if (known) {
      setGradientTarget(variable, null);
      return known;
    }
    const { group, range } = this.#find(name);
    const target = group.gradients.subarray(range.begin, range.end);
    if (!range.frozen) setGradientTarget(variable, { values: target, accumulates: this.#accumulates });
    const recorded = onGradient(variable as tf.Tensor, (gradient) => {
      // The backward pass, with its collectives, is the same on every rank, whatever is frozen.
      if (range.frozen) {
        gradient.dispose();
        return;
      }
      const values = gradient.dataSync<'float32'>();
      const isThere = values.buffer === target.buffer && values.byteOffset === target.byteOffset;
      if (!isThere && this.#accumulates) addTo(group.gradients, range.begin, values);
      else if (!isThere) target.set(values);
      this.#unfinished.delete(range);
      // No longer needed; autograd would keep all of them until the end of the step.
      gradient.dispose();
    });
    this.#recorded.set(name, recorded);
    return recorded;
  }

  #find(name: string): { readonly group: ParameterGroup; readonly range: ParameterRange } {
    for (const group of [this.shared, this.expert]) {
      const range = group.ranges.find((candidate) => candidate.name === name);
      if (range) return { group, range };
    }
    throw new TrainerError('INTERNAL', `this rank holds no parameter named ${name}`);
  }

  /** View of a parameter's values in its group's array; call `pushValues` after writing to it. */
  values(name: string): Float32Array {
    const { group, range } = this.#find(name);
    return group.values.subarray(range.begin, range.end);
  }

  /** Every parameter of this rank, in the order of `specs`; the arrays are views. */
  *entries(): Generator<ParameterEntry> {
    for (const { name } of this.specs) {
      const { group, range } = this.#find(name);
      const viewOf = (flat: Float32Array) => flat.subarray(range.begin, range.end);
      yield { name, values: viewOf(group.values), gradients: viewOf(group.gradients) };
    }
  }

  /** `shared.gradients` is final from this index on; it falls from the end to 0 during the backward pass. */
  get gradientsWholeFrom(): number {
    let end = 0;
    for (const [range, group] of this.#unfinished) if (group === this.shared) end = Math.max(end, range.end);
    return end;
  }

  /**
   * Differentiates the scalar that `loss` returns and writes the gradients of all parameters to the flat
   * arrays, each as soon as it is final; zeros for parameters that the loss does not depend on, or that are frozen.
   *
   * @param accumulates add to what the flat arrays hold instead
   * @returns the value of the scalar
   */
  computeGradients(loss: () => tf.Scalar, accumulates = false): number {
    this.#accumulates = accumulates;
    for (const group of [this.shared, this.expert])
      for (const range of group.trained) this.#unfinished.set(range, group);
    this.#recorded = new Map();
    try {
      return tf.tidy(() => tf.variableGrads(loss, [...this.#variables.values()]).value.dataSync()[0]);
    } finally {
      for (const name of this.#recorded.keys()) setGradientTarget(this.#variables.get(name)!, null);
      this.#recorded = null;
      if (!accumulates)
        for (const [{ begin, end }, group] of this.#unfinished) group.gradients.fill(0, begin, end);
      this.#unfinished.clear();
    }
  }

  /** Copies the flat values to the variables; call it after every change of `values`. */
  pushValues(): void {
    for (const group of [this.shared, this.expert])
      for (const range of group.ranges)
        tf.tidy(() => this.#variables.get(range.name)!.assign(tensorOf(group, range)));
  }

  dispose(): void {
    for (const variable of this.#variables.values()) variable.dispose();
    this.#variables.clear();
  }
}

function addTo(target: Float32Array, begin: number, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) target[begin + i] += values[i];
}

function makeGroup(
  specs: readonly ParameterSpec[],
  isFrozen: (spec: ParameterSpec) => boolean,
): ParameterGroup {
  const frozenLast = [...specs.filter((spec) => !isFrozen(spec)), ...specs.filter(isFrozen)];
  let end = 0;
  const ranges = frozenLast.map((spec): ParameterRange => {
    const begin = end;
    end += spec.shape.reduce((product, length) => product * length, 1);
    return { ...spec, begin, end, frozen: isFrozen(spec) };
  });
  const trained = ranges.filter(({ frozen }) => !frozen);
  // What saves them is a thread.
  const flat = new FlatArrays(end, 4, true);
  const [values, gradients, m, v] = flat.arrays;
  return { ranges, trained, numTrained: trained.at(-1)?.end ?? 0, values, gradients, m, v, flat };
}

function initialize(values: Float32Array, { init, name }: ParameterSpec, seed: number): void {
  if (init.kind === 'constant') values.fill(init.value);
  else new CounterRandom(seed, name).fillNormal(values, init.std);
}

/** TensorFlow copies the elements at the tensor's first use; they must not change before that. */
function tensorOf(group: ParameterGroup, range: ParameterRange): tf.Tensor {
  return tf.tensor(group.values.subarray(range.begin, range.end), [...range.shape], 'float32');
}
