import { alias, type TapeNode, tapeEngine } from './autograd.js';
import { kernels } from './kernels/choose-kernels.js';
import { tf } from './tensorflow.js';

/**
 * Differentiates the scalar that `loss` returns, with reverse-mode differentiation over the operations that it runs. The
 * gradient of a tensor is final, and its operation is differentiated, once all later operations have been; then
 * the gradient and what the operation saved are freed. Gradients go to the callbacks of `parameterLeaf`.
 *
 * @param parameters tensors whose gradients are wanted
 * @returns the value of the scalar
 * @throws Error if an operation that the scalar depends on has no gradient
 */
export function differentiate(loss: () => tf.Scalar, parameters: readonly tf.Tensor[]): number {
  const engine = tapeEngine();
  let tape: readonly TapeNode[] = [];
  try {
    return tf.tidy(() => {
      engine.startTape();
      tape = engine.state.activeTape!;
      let value: tf.Scalar;
      try {
        value = tf.tidy(loss);
      } finally {
        engine.endTape();
      }
      if (value.size !== 1) throw new Error(`a loss of ${value.size} elements has no gradient`);
      backward(value, dependentOn(parameters, tape));
      return value.dataSync()[0]!;
    });
  } finally {
    // A gradient that was not completed leaves tensors that its operations have saved.
    for (const { saved } of tape) for (const tensor of saved) tensor.dispose();
    engine.state.activeTape = null;
  }
}

/** An operation with those of its inputs that depend on a parameter. */
interface DependentNode {
  readonly node: TapeNode;
  readonly inputs: readonly (readonly [name: string, input: tf.Tensor])[];
}

function dependentOn(parameters: readonly tf.Tensor[], tape: readonly TapeNode[]): DependentNode[] {
  const dependent = new Set(parameters.map(({ id }) => id));
  return tape.flatMap((node) => {
    const inputs = Object.entries(node.inputs).filter(([, { id }]) => dependent.has(id));
    if (inputs.length === 0) return [];
    for (const { id } of node.outputs) dependent.add(id);
    return [{ node, inputs }];
  });
}

function backward(value: tf.Scalar, nodes: readonly DependentNode[]): void {
  const gradients = new Map<number, tf.Tensor>([[value.id, tf.onesLike(value)]]);
  for (const { node, inputs } of nodes.toReversed()) {
    const dys = node.outputs.map(({ id }) => gradients.get(id) ?? null);
    if (dys.every((dy) => dy === null)) continue;
    const found = gradientsOf(node, inputs, dys);
    for (const dy of dys) if (dy !== null && !dy.kept && !found.includes(dy)) dy.dispose();
    for (const tensor of node.saved) tensor.dispose();
    for (const { id } of node.outputs) gradients.delete(id);
    inputs.forEach(([, { id }], i) => {
      const gradient = found[i];
      if (gradient === undefined) return;
      const known = gradients.get(id);
      gradients.set(id, known === undefined ? gradient : sumOf(known, gradient));
    });
  }
}

/** @returns the gradient of each input, undefined if it is unwanted */
function gradientsOf(
  { kernelName, gradient }: TapeNode,
  inputs: DependentNode['inputs'],
  dys: readonly (tf.Tensor | null)[],
): (tf.Tensor | undefined)[] {
  if (gradient === undefined) throw new Error(`TensorFlow has no gradient of ${kernelName}`);
  const firstId = tapeEngine().nextTensorId();
  return tf.tidy(() => {
    const ofInputs = gradient(dys);
    const found = inputs.map(([name, input]): tf.Tensor | undefined => {
      if (!(name in ofInputs)) throw new Error(`${kernelName} has no gradient of its input ${name}`);
      const own: tf.Tensor | undefined = ofInputs[name]!();
      if (own !== undefined && (own.dtype !== 'float32' || own.shape.join() !== input.shape.join()))
        throw new Error(
          `the gradient of ${kernelName} is ${own.dtype} [${own.shape}], and its input float32 [${input.shape}]`,
        );
      return own;
    });
    // Each is freed on its own, and what an operation of a router keeps for itself is not.
    const isOwned = (each: tf.Tensor, i: number) =>
      found.indexOf(each) === i && !each.kept && (each.id > firstId || dys.includes(each));
    return found.map((each, i) => (each === undefined || isOwned(each, i) ? each : alias(each)));
  });
}

/** Adds two gradients of one tensor, and frees them. */
function sumOf(x: tf.Tensor, y: tf.Tensor): tf.Tensor {
  const sum = kernels().add(x, y);
  x.dispose();
  y.dispose();
  return sum;
}
