import { alias } from '../ops/autograd.js';
import { kernels } from '../ops/kernels/choose-kernels.js';
import type { AdamWNumbers, DeviceUpdates } from '../ops/kernels/kernels.js';
import { tf } from '../ops/tensorflow.js';
import type { ParameterGroup, ParameterRange } from './parameter-group.js';

/**
 * The parameters of a rank that stay on a device, with their gradients and Adam's moments. The flat arrays of the host have values and
 * moments only after `read`, and gradients after `readGradients`.
 */
export class DeviceState {
  readonly #gradients = new Map<string, tf.Tensor>();
  readonly #moments = new Map<string, readonly [m: tf.Tensor, v: tf.Tensor]>();
  #isAhead = false;

  /** @param variableOf returns the tensor that has a parameter's values */
  constructor(
    private readonly updates: DeviceUpdates,
    private readonly groups: readonly ParameterGroup[],
    private readonly variableOf: (name: string) => tf.Tensor,
  ) {}

  /** Whether the device has other values and moments than the flat arrays. */
  get isAhead(): boolean {
    return this.#isAhead;
  }

  /** Forgets the gradients. */
  clearGradients(): void {
    for (const gradient of this.#gradients.values()) gradient.dispose();
    this.#gradients.clear();
  }

  /** Adds a gradient to that of the micro-batches before. */
  addGradient(name: string, gradient: tf.Tensor): void {
    const known = this.#gradients.get(name);
    const sum = known === undefined ? alias(gradient) : kernels().add(known, gradient);
    known?.dispose();
    this.#gradients.set(name, tf.keep(sum));
  }

  /** Returns the sum of the squares of all gradients. */
  squaredNorm(): number {
    return this.updates.squaredNorm([...this.#gradients.values()]);
  }

  /** Does one AdamW update of all parameters that are not frozen, and forgets their gradients. */
  update(numbersOf: (range: ParameterRange) => AdamWNumbers): void {
    for (const group of this.groups)
      for (const range of group.trained) {
        const [m, v] = this.#momentsOf(group, range);
        const gradient = this.#gradients.get(range.name) ?? null;
        this.updates.adamW({ value: this.variableOf(range.name), gradient, m, v }, numbersOf(range));
      }
    this.clearGradients();
    this.#isAhead = true;
  }

  /** Copies values and moments to the flat arrays. */
  read(): void {
    if (!this.#isAhead) return;
    const reads = kernels().deferredReads();
    for (const group of this.groups)
      for (const range of group.trained) {
        const [m, v] = this.#momentsOf(group, range);
        reads.add(this.variableOf(range.name), (values) => group.values.set(values, range.begin));
        reads.add(m, (values) => group.m.set(values, range.begin));
        reads.add(v, (values) => group.v.set(values, range.begin));
      }
    reads.finish();
    this.#isAhead = false;
  }

  /** Copies the gradients of the last step to the flat arrays; zeros where there are none. */
  readGradients(): void {
    const reads = kernels().deferredReads();
    for (const group of this.groups)
      for (const { name, begin, end } of group.trained) {
        const gradient = this.#gradients.get(name);
        if (gradient === undefined) group.gradients.fill(0, begin, end);
        else reads.add(gradient, (values) => group.gradients.set(values, begin));
      }
    reads.finish();
  }

  /** Returns a parameter's moments, at first those of the flat arrays. */
  #momentsOf(group: ParameterGroup, { name, shape, begin, end }: ParameterRange) {
    const known = this.#moments.get(name);
    if (known !== undefined) return known;
    const tensorOf = (array: Float32Array) =>
      tf.keep(tf.tensor(array.slice(begin, end), [...shape], 'float32') as tf.Tensor);
    const moments = [tensorOf(group.m), tensorOf(group.v)] as const;
    this.#moments.set(name, moments);
    return moments;
  }

  dispose(): void {
    this.clearGradients();
    for (const moments of this.#moments.values()) for (const moment of moments) moment.dispose();
    this.#moments.clear();
  }
}
