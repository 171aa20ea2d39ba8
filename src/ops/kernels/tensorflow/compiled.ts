import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TrainerError } from '../../../errors.js';
import type { AttrValueInput } from '../../../rpc/generated/tensorflow/AttrValue.js';
import type { NodeDefInput } from '../../../rpc/generated/tensorflow/NodeDef.js';
import { loadProto } from '../../../rpc/load-proto.js';
import { isRecording } from '../../autograd.js';
import {
  type NativeTensor,
  type NodeBinding,
  nodeBackend,
  type OpAttribute,
  withBinding,
} from '../../node-backend.js';
import { tf } from '../../tensorflow.js';

/** A pure function of tensors. */
export type Compute = (...inputs: tf.Tensor[]) => readonly tf.Tensor[];

type Run = (inputs: readonly tf.Tensor[]) => tf.Tensor[];

/** Runs a part of an operation. `name` is used in errors. */
export type RunPart = (name: string, inputs: readonly tf.Tensor[], compute: Compute) => tf.Tensor[];

/** Runs a part without compilation, as its shapes depend on the data. */
export const uncompiled: RunPart = (_, inputs, compute) => [...compute(...inputs)];

/**
 * Compiles if a gradient is recorded: training has the same shapes at every step, while inference has new shapes with
 * every token.
 */
export function fixedShapes(): RunPart {
  return isRecording() ? compiled : uncompiled;
}

/** Compiled runs of each function, by types and shapes of the inputs. */
const runsOf = new WeakMap<Compute, Map<string, Run>>();
/** Sessions by digest of the graph, so that equal functions share a compilation. */
const sessions = new Map<string, Run>();

/**
 * Runs a function of tensors compiled by TensorFlow's XLA, which fuses element-wise operations, reductions and small products
 * into a few loops with the widest vectors of this processor. The first call with inputs of new shapes records the function's
 * operations; a graph that has not been seen before is then compiled, which takes some 0.1 s and lasts for the lifetime of the
 * process. So call it with shapes that recur, and with the same function object: a new object is recorded again.
 *
 * @param name for errors
 * @param compute operations on its inputs and on constants that it creates, the same at every call; it must not read elements
 * @returns the outputs of `compute`, up to rounding
 * @throws TrainerError `INTERNAL` if the function uses a tensor from outside or attributes of an unknown kind
 */
export function compiled(name: string, inputs: readonly tf.Tensor[], compute: Compute): tf.Tensor[] {
  const runs = runsOf.get(compute) ?? new Map<string, Run>();
  runsOf.set(compute, runs);
  const key = inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`).join(' ');
  const run = runs.get(key) ?? sessionOf(record(name, inputs, compute));
  runs.set(key, run);
  return run(inputs);
}

interface Graph {
  readonly nodes: NodeDefInput[];
  /** Outputs of nodes to feed and fetch: `<node>` for the first, `<node>:<index>` for others. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Runs the function once, eagerly, and records its operations. */
function record(name: string, inputs: readonly tf.Tensor[], compute: Compute): Graph {
  const backend = nodeBackend();
  const { binding } = backend;
  const nodes: NodeDefInput[] = [];
  const nodeOutputs = new Map<number, string>();
  const add = (
    op: string,
    input: string[],
    attr: Record<string, AttrValueInput>,
    outputIds: readonly number[],
  ) => {
    // Names are short, because the addon for TensorFlow 1.15 never frees the names that a run feeds and
    // fetches. They begin with a letter, because it takes a leading digit for an index.
    const node = `n${nodes.length.toString(36)}`;
    nodes.push({ name: node, op, input, attr });
    for (const [i, id] of outputIds.entries()) nodeOutputs.set(id, i === 0 ? node : `${node}:${i}`);
  };
  const nodeOutputOf = (id: number): string => {
    const output = nodeOutputs.get(id);
    if (output === undefined)
      throw new TrainerError('INTERNAL', `compiled function ${name} uses a tensor of the outside`);
    return output;
  };
  const inputIds = backend.getInputTensorIds(inputs);
  inputIds.forEach((id, i) => {
    const dtype = inputs[i]!.dtype === 'int32' ? binding.TF_INT32 : binding.TF_FLOAT;
    add('Placeholder', [], { dtype: { type: dtype } }, [id]);
  });
  const recorder: Pick<NodeBinding, 'executeOp' | 'createTensor'> = {
    executeOp(op, attributes, ids, numOutputs) {
      const outputs = binding.executeOp(op, attributes, ids, numOutputs);
      const attr = { ...graphAttributes(name, attributes, binding), ...COMPILE };
      const outputIds = outputs.map(({ id }: NativeTensor) => id);
      add(op, ids.map(nodeOutputOf), attr, outputIds);
      return outputs;
    },
    createTensor(shape, dtype, values) {
      const id = binding.createTensor(shape, dtype, values);
      const tensor = {
        dtype,
        tensorShape: { dim: shape.map((size) => ({ size })) },
        tensorContent: Buffer.from(values.buffer, values.byteOffset, values.byteLength),
      };
      add('Const', [], { dtype: { type: dtype }, value: { tensor } }, [id]);
      return id;
    },
  };
  return withBinding(recorder, () => {
    const outputs: string[] = [];
    tf.tidy(() => {
      outputs.push(...backend.getInputTensorIds(compute(...inputs)).map(nodeOutputOf));
    });
    return { nodes, inputs: inputIds.map(nodeOutputOf), outputs };
  });
}

/** Marks operations for XLA to compile together, regardless of its flags. */
const COMPILE = { _XlaCompile: { b: true }, _XlaScope: { s: Buffer.from('compiled') } };

function graphAttributes(
  name: string,
  attributes: readonly OpAttribute[],
  { TF_ATTR_TYPE, TF_ATTR_BOOL, TF_ATTR_INT }: NodeBinding,
): Record<string, AttrValueInput> {
  return Object.fromEntries(
    attributes.map(({ name: attribute, type, value }) => {
      if (type === TF_ATTR_TYPE) return [attribute, { type: value }];
      if (type === TF_ATTR_BOOL) return [attribute, { b: value }];
      if (type === TF_ATTR_INT && typeof value === 'number') return [attribute, { i: value }];
      throw new TrainerError('INTERNAL', `compiled function ${name}: unknown kind of attribute ${attribute}`);
    }),
  );
}

/** Graph version of the oldest supported TensorFlow. */
const GRAPH_VERSION = 134;
const TAG = 'serve';

function sessionOf(graph: Graph): Run {
  const { inputs, outputs } = graph;
  const bytes = serialize(graph);
  const digest = createHash('sha256').update(bytes).update(JSON.stringify({ inputs, outputs })).digest('hex');
  const session = sessions.get(digest) ?? load(bytes, graph);
  sessions.set(digest, session);
  return session;
}

function serialize({ nodes }: Graph): Buffer {
  const savedModel = loadProto('saved_model', 'tensorflow.SavedModel');
  const graphDef = { node: nodes, versions: { producer: GRAPH_VERSION } };
  return savedModel.serialize({
    savedModelSchemaVersion: 1,
    metaGraphs: [{ metaInfoDef: { tags: [TAG] }, graphDef }],
  });
}

/** Opens a session of the graph. The addon loads graphs only from a folder, which is then removed. */
function load(bytes: Buffer, { inputs, outputs }: Graph): Run {
  const backend = nodeBackend();
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-graph-'));
  try {
    writeFileSync(path.join(folder, 'saved_model.pb'), bytes);
    const session = backend.binding.loadSavedModel(folder, TAG);
    const [fed, fetched] = [inputs.join(), outputs.join()];
    return (tensors) =>
      backend.binding
        .runSavedModel(session, backend.getInputTensorIds(tensors), fed, fetched)
        .map((output) => backend.createOutputTensor(output));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
