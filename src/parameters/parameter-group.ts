import { FlatArrays } from '../simd/index.js';
import { CounterRandom } from './counter-random.js';

/** Initial values. Normally distributed ones come from a generator seeded by (seed, name), so they are equal in every layout. */
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
  /** Factor of the low-rank pair beside this matrix (low-rank-pair.ts); undefined if it has none. */
  readonly pairScale?: number;
}

/** A parameter's elements [begin, end) of a flat array. */
export interface ParameterRange extends ParameterSpec {
  readonly begin: number;
  readonly end: number;
  /** True if the parameter has no gradient and does not change. */
  readonly frozen: boolean;
}

export type IsFrozen = (spec: ParameterSpec) => boolean;

export type StateArrays = readonly [
  values: Float32Array,
  gradients: Float32Array,
  m: Float32Array,
  v: Float32Array,
];

/** Flat arrays of all parameters of one placement: values, gradients, Adam's moments. */
export interface ParameterGroup {
  readonly ranges: readonly ParameterRange[];
  /** Ranges that are not frozen. */
  readonly trained: readonly ParameterRange[];
  readonly values: Float32Array;
  readonly gradients: Float32Array;
  /** Takes no memory until an optimizer writes to it. */
  readonly m: Float32Array;
  readonly v: Float32Array;
  /** The four arrays above, in that order, for vector kernels. */
  readonly flat: FlatArrays<StateArrays>;
}

/** Keeps the order of the specs, but puts frozen ones at the end, so that the exchanged part is contiguous. */
export function makeGroup(specs: readonly ParameterSpec[], isFrozen: IsFrozen): ParameterGroup {
  const ranges = inOrder([...specs.filter((spec) => !isFrozen(spec)), ...specs.filter(isFrozen)], isFrozen);
  const trained = ranges.filter(({ frozen }) => !frozen);
  // The arrays are shared, as another thread saves them.
  const flat = new FlatArrays<StateArrays>(ranges.at(-1)?.end ?? 0, 4, true);
  const [values, gradients, m, v] = flat.arrays;
  return { ranges, trained, values, gradients, m, v, flat };
}

/** Places parameters one after the other, from 0. */
export function inOrder(specs: readonly ParameterSpec[], isFrozen: IsFrozen): ParameterRange[] {
  let end = 0;
  return specs.map((spec) => {
    const begin = end;
    end += spec.shape.reduce((product, length) => product * length, 1);
    return { ...spec, begin, end, frozen: isFrozen(spec) };
  });
}

export function initialize(values: Float32Array, { init, name }: ParameterSpec, seed: number): void {
  if (init.kind === 'constant') values.fill(init.value);
  else new CounterRandom(seed, name).fillNormal(values, init.std);
}

/** Returns the prefix of the names of an expert's parameters: `layers.3.experts.5`. */
export function expertOf(parameter: string): string {
  return parameter.slice(0, parameter.lastIndexOf('.'));
}
