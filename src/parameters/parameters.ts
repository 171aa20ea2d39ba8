import { TrainerError } from '../errors.js';
import { parameterLeaf } from '../ops/autograd.js';
import { differentiate } from '../ops/backward.js';
import { setGradientTarget } from '../ops/gradient-target.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import type { DeferredReads } from '../ops/kernels/kernels.js';
import { tf } from '../ops/tensorflow.js';
import { DeviceState } from './device-state.js';
import { ExpertSlots, type SlotOptions } from './expert-slots.js';
import {
  expertOf,
  type IsFrozen,
  initialize,
  makeGroup,
  type ParameterGroup,
  type ParameterRange,
  type ParameterSpec,
} from './parameter-group.js';

export type { ParameterGroup, ParameterRange, ParameterSpec } from './parameter-group.js';

export interface ParameterEntry {
  readonly name: string;
  /** Loads the expert on read if it is not in memory; the view is valid until the expert is evicted. */
  readonly values: Float32Array;
  /** Empty if the last step has left no gradient of an expert in a slot; zeros elsewhere. */
  readonly gradients: Float32Array;
}

interface Place {
  readonly group: ParameterGroup;
  readonly range: ParameterRange;
}

/** The interface through which layers read parameters. */
export interface ParameterSource {
  /**
   * Returns a parameter's tensor. Without gradient recording, an expert's is valid until the next expert is read.
   *
   * @param uses whether one operation reads the tensor, whose kernel may write the gradient where it belongs, or several
   * @throws TrainerError `INTERNAL` if this rank holds no parameter of that name.
   */
  get(name: string, uses?: 'one' | 'several'): tf.Tensor;
  /** Returns the factor of the low-rank pair beside a matrix (low-rank-pair.ts); undefined if it has none. */
  pairScale(name: string): number | undefined;
  /** Declares that these experts, or their replicas, have tokens in the gradient that is recorded. */
  touch(experts: readonly string[]): void;
}

/**
 * The parameters of one rank: two flat float32 arrays (shared, expert) for collectives and the optimizer, and a TensorFlow
 * variable for each parameter for the model. Where only experts with tokens are updated, experts are in slots.
 *
 * One step: `computeGradients` of each micro-batch; reduce and apply `group.gradients`; `pushValues`. After `stayOnDevice`:
 * `computeGradients`; `onDevice.update`.
 */
export class ParameterStore implements ParameterSource {
  readonly shared: ParameterGroup;
  readonly expert: ParameterGroup;
  /** The same object as `expert` if experts are in slots, else null. */
  readonly slots: ExpertSlots | null;
  #onDevice: DeviceState | null = null;
  readonly #variables = new Map<string, tf.Variable>();
  /** Variables of the parameters whose gradients are computed. */
  readonly #differentiated = new Map<string, tf.Variable>();
  /** Places of parameters that never move. */
  readonly #fixed = new Map<string, Place>();
  readonly #pairScales: ReadonlyMap<string, number | undefined>;
  /**
   * While a gradient is recorded: by name, the tensor that stands for each variable that the model has read,
   * or the variable itself if it is not differentiated.
   */
  #recorded: Map<string, tf.Tensor> | null = null;
  /** Whether the recorded gradient is added to that in the flat arrays. */
  #accumulates = false;
  /** How gradients are read while one is recorded. */
  #reads: DeferredReads | null = null;
  /** Parameters with gradients still pending. */
  readonly #unfinished = new Map<ParameterRange, ParameterGroup>();

  /**
   * @param slots null if all experts are updated in every step
   * @param alwaysDifferentiated names of parameters that the backward pass reaches even if they are frozen
   */
  constructor(
    readonly specs: readonly ParameterSpec[],
    seed: number,
    slots: SlotOptions | null = null,
    isFrozen: IsFrozen = () => false,
    alwaysDifferentiated: readonly string[] = [],
  ) {
    this.#pairScales = new Map(specs.map(({ name, pairScale }) => [name, pairScale]));
    const ofExperts = specs.filter((spec) => spec.placement === 'expert');
    this.shared = makeGroup(
      specs.filter((spec) => spec.placement === 'shared'),
      isFrozen,
    );
    const onMove = (ranges: readonly ParameterRange[]) => this.#push(this.expert, ranges);
    this.slots = slots && new ExpertSlots(ofExperts, slots, onMove, isFrozen);
    this.expert = this.slots ?? makeGroup(ofExperts, isFrozen);
    for (const group of this.#fixedGroups)
      for (const range of group.ranges) {
        this.#declare(group, range);
        this.#fixed.set(range.name, { group, range });
        initialize(group.values.subarray(range.begin, range.end), range, seed);
      }
    for (const ranges of this.slots?.experts.values() ?? [])
      for (const range of ranges) this.#declare(this.expert, range);
    if (this.slots?.isFilled === false)
      for (const expert of this.slots.experts.keys())
        for (const range of this.slots.openToChange(expert))
          initialize(this.expert.values.subarray(range.begin, range.end), range, seed);
    for (const spec of specs)
      if (!isFrozen(spec) || alwaysDifferentiated.includes(spec.name))
        this.#differentiated.set(spec.name, this.#variables.get(spec.name)!);
  }

  /** Groups that always hold all their parameters. */
  get #fixedGroups(): readonly ParameterGroup[] {
    return this.slots === null ? [this.shared, this.expert] : [this.shared];
  }

  /** Not null if parameters, gradients and moments stay on a device. */
  get onDevice(): DeviceState | null {
    return this.#onDevice;
  }

  /**
   * Leaves parameters, gradients and moments on the device, if one computes, and all experts are updated in every step. Then
   * `DeviceState.update` is to be called instead of what changes the flat arrays.
   */
  stayOnDevice(): void {
    const { updates } = kernels();
    if (updates === null || this.slots !== null) return;
    this.#onDevice = new DeviceState(updates, this.#fixedGroups, (name) => this.#variables.get(name)!);
  }

  #declare(group: ParameterGroup, range: ParameterRange): void {
    if (this.#variables.has(range.name))
      throw new TrainerError('INTERNAL', `parameter ${range.name} is declared twice`);
    this.#variables.set(
      range.name,
      tf.tidy(() => tf.variable(tensorOf(group, range))),
    );
  }

  get(name: string, uses: 'one' | 'several' = 'one'): tf.Tensor {
    const variable = this.#variables.get(name);
    if (!variable) throw new TrainerError('INTERNAL', `this rank holds no parameter named ${name}`);
    const { group, range } = this.#find(name);
    if (!this.#recorded) return variable;
    if (!this.#differentiated.has(name)) {
      setGradientTarget(variable, 'unwanted');
      this.#recorded.set(name, variable);
      return variable;
    }
    const known = this.#recorded.get(name);
    if (known) {
      setGradientTarget(variable, null);
      return known;
    }
    const target = group.gradients.subarray(range.begin, range.end);
    if (!range.frozen && uses === 'one')
      setGradientTarget(variable, { values: target, accumulates: this.#accumulates });
    const reads = this.#reads!;
    const recorded = parameterLeaf(variable, (gradient) => {
      if (range.frozen) return;
      if (this.#onDevice !== null) {
        this.#onDevice.addGradient(name, gradient);
        return;
      }
      reads.add(gradient, (values) => {
        const isThere = values.buffer === target.buffer && values.byteOffset === target.byteOffset;
        if (!isThere && this.#accumulates) addTo(group.gradients, range.begin, values);
        else if (!isThere) target.set(values);
        this.#unfinished.delete(range);
      });
    });
    this.#recorded.set(name, recorded);
    return recorded;
  }

  pairScale(name: string): number | undefined {
    return this.#pairScales.get(name);
  }

  touch(experts: readonly string[]): void {
    if (this.#recorded) this.slots?.touch(experts);
  }

  #find(name: string): Place {
    const place = this.#fixed.get(name);
    if (place) return place;
    const expert = expertOf(name);
    if (this.slots?.experts.has(expert)) return this.#placeIn(this.slots.open(expert), name);
    throw new TrainerError('INTERNAL', `this rank holds no parameter named ${name}`);
  }

  #placeIn(ranges: readonly ParameterRange[], name: string): Place {
    return { group: this.expert, range: ranges.find((range) => range.name === name)! };
  }

  /** Returns a view of a parameter's values in its group's array; call `pushValues` after writing to it. */
  values(name: string): Float32Array {
    const { group, range } = this.#find(name);
    if (group === this.slots) this.slots.openToChange(expertOf(name));
    this.#onDevice?.read();
    return group.values.subarray(range.begin, range.end);
  }

  /** Yields every parameter of this rank, in the order of `specs`; the arrays are views. */
  *entries(): Generator<ParameterEntry> {
    this.#onDevice?.read();
    this.#onDevice?.readGradients();
    const viewOf = (name: string, array: 'values' | 'gradients') => {
      const { group, range } = this.#find(name);
      return group[array].subarray(range.begin, range.end);
    };
    for (const { name } of this.specs) {
      const hasGradient = this.#fixed.has(name) || this.slots!.hasGradient(expertOf(name));
      yield {
        name,
        get values() {
          return viewOf(name, 'values');
        },
        get gradients() {
          return hasGradient ? viewOf(name, 'gradients') : new Float32Array(0);
        },
      };
    }
  }

  /** Index from which `shared.gradients` is final; it falls from the end to 0 during the backward pass. */
  get gradientsWholeFrom(): number {
    // All ranks must have the same index here, and which gradients a rank has read by now depends on its rows.
    this.#reads?.finish();
    let end = 0;
    for (const [range, group] of this.#unfinished) if (group === this.shared) end = Math.max(end, range.end);
    return end;
  }

  /**
   * Differentiates the scalar that `loss` returns and writes the gradients of all parameters to the flat arrays, each
   * as soon as it is final, unless they stay on a device; zeros for parameters that the loss does not depend on, or that are frozen.
   *
   * @param accumulates true to add to what the flat arrays hold; false to begin a step
   * @returns the value of the scalar
   */
  computeGradients(loss: () => tf.Scalar, accumulates = false): number {
    const reads = kernels().deferredReads();
    this.#reads = reads;
    this.#accumulates = accumulates;
    if (!accumulates) {
      this.slots?.beginStep();
      this.#onDevice?.clearGradients();
    }
    if (this.#onDevice === null)
      for (const group of this.#fixedGroups)
        for (const range of group.trained) this.#unfinished.set(range, group);
    this.#recorded = new Map();
    try {
      const value = differentiate(loss, [...this.#differentiated.values()]);
      reads.finish();
      return value;
    } finally {
      reads.drop();
      this.#reads = null;
      for (const name of this.#recorded.keys()) setGradientTarget(this.#variables.get(name)!, null);
      this.#recorded = null;
      if (!accumulates)
        for (const [{ begin, end }, group] of this.#unfinished) group.gradients.fill(0, begin, end);
      this.#unfinished.clear();
    }
  }

  /** Makes a gradient NaN, for tests: of these elements of `expert`, or of the first expert. */
  spoilGradient(range: ParameterRange | null): void {
    const first = range ?? this.expert.trained[0];
    if (first === undefined) return;
    if (this.#onDevice === null) this.expert.gradients[first.begin] = Number.NaN;
    else tf.tidy(() => this.#onDevice!.addGradient(first.name, tf.fill([...first.shape], Number.NaN)));
  }

  /** Declares that the gradients of the step are no longer needed. */
  endStep(): void {
    this.slots?.endStep();
  }

  /**
   * Copies the flat values to the variables; to be called after every change of `values`.
   *
   * @param experts experts that have changed, all of them in memory; by default all experts in memory
   * @throws TrainerError `INTERNAL` if a device has updated the parameters since the values were read
   */
  pushValues(experts: readonly string[] | null = null): void {
    if (this.#onDevice?.isAhead) throw new TrainerError('INTERNAL', 'the device has newer parameters');
    this.#push(this.shared, this.shared.ranges);
    this.#push(this.expert, experts?.flatMap((name) => this.slots!.open(name)) ?? this.expert.ranges);
  }

  #push(group: ParameterGroup, ranges: readonly ParameterRange[]): void {
    for (const range of ranges)
      tf.tidy(() => this.#variables.get(range.name)!.assign(tensorOf(group, range)));
  }

  dispose(): void {
    for (const variable of this.#variables.values()) variable.dispose();
    this.#variables.clear();
    this.#onDevice?.dispose();
    this.slots?.dispose();
  }
}

function addTo(target: Float32Array, begin: number, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) target[begin + i]! += values[i]!;
}

/** Creates a tensor over elements that must not change before its first use. */
function tensorOf(group: ParameterGroup, range: ParameterRange): tf.Tensor {
  return tf.tensor(group.values.subarray(range.begin, range.end), [...range.shape], 'float32');
}
