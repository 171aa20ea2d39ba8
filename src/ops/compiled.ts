import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { MessageTypeDefinition } from '@grpc/proto-loader';
import { TrainerError } from '../errors.js';
import { loadProto } from '../rpc/load-proto.js';
import {
  type NativeTensor,
  type NodeBinding,
  nodeBackend,
  type OpAttribute,
  withBinding,
} from './node-backend.js';
import { tf } from './tensorflow.js';

/** A function of tensors and of nothing else. */
export type Compute = (...inputs: tf.Tensor[]) => readonly tf.Tensor[];

type Run = (inputs: readonly tf.Tensor[]) => tf.Tensor[];

/** What a function does with inputs of some types and shapes, by these. */
const runsOf = new WeakMap<Compute, Map<string, Run>>();
/** By the digest of the graph: functions that do the same share a compilation. */
const sessions = new Map<string, Run>();

/**
 * Runs a function of tensors compiled by XLA, which TensorFlow carries with it: operations on elements, reductions and
 * small products become a few loops with the widest vectors of this processor, and most of what lies between operations
 * on elements is never written to memory. The first call of a function with inputs of new shapes records its operations; a graph
 * that was not seen before is compiled, which takes some 0.1 s and stays for the life of the process. So call it with
 * shapes that come again, and with the same function object: one that is made anew at each call is recorded each time.
 *
 * @param name for errors
 * @param compute operations on its inputs and on constants that it makes, the same at every call; it must not look at
 *   elements
 * @returns the outputs, equal to those of `compute` but for rounding
 * @throws TrainerError `INTERNAL` if the function uses a tensor of the outside or attributes of an unknown kind
 */
export function compiled(name: string, inputs: readonly tf.Tensor[], compute: Compute): tf.Tensor[] {
  const runs = runsOf.get(compute) ?? new Map<string, Run>();
  runsOf.set(compute, runs);
  const key = inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`).join(' ');
  const run = runs.get(key) ?? sessionOf(record(name, inputs, compute));
  runs.set(key, run);
  return run(inputs);
}

/** `tensorflow.NodeDef` of proto/saved_model.proto. */
interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly input: readonly string[];
  readonly attr: Readonly<Record<string, object>>;
}

interface Graph {
  readonly nodes: readonly GraphNode[];
  /** Outputs of nodes that are fed and fetched: `<node>` for the first, `<node>:<index>` for others. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Runs the function once, one operation after the other, and takes down what it does. */
function record(name: string, inputs: readonly tf.Tensor[], compute: Compute): Graph {
  const backend = nodeBackend();
  const { binding } = backend;
  const nodes: GraphNode[] = [];
  const nodeOutputs = new Map<number, string>();
  const add = (
    op: string,
    input: readonly string[],
    attr: GraphNode['attr'],
    outputIds: readonly number[],
  ) => {
    // Short: builds of the addon for TensorFlow 1.15 never free the names that a run feeds and fetches. It takes a leading
    // digit for an index.
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
    const dtype = inputs[i].dtype === 'int32' ? binding.TF_INT32 : binding.TF_FLOAT;
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

/** Marks operations that XLA is to compile together, whatever its flags are. */
const COMPILE = { _XlaCompile: { b: true }, _XlaScope: { s: Buffer.from('compiled') } };

function graphAttributes(
  name: string,
  attributes: readonly OpAttribute[],
  { TF_ATTR_TYPE, TF_ATTR_BOOL, TF_ATTR_INT }: NodeBinding,
): GraphNode['attr'] {
  return Object.fromEntries(
    attributes.map(({ name: attribute, type, value }) => {
      if (type === TF_ATTR_TYPE) return [attribute, { type: value }];
      if (type === TF_ATTR_BOOL) return [attribute, { b: value }];
      if (type === TF_ATTR_INT && typeof value === 'number') return [attribute, { i: value }];
      throw new TrainerError('INTERNAL', `compiled function ${name}: unknown kind of attribute ${attribute}`);
    }),
  );
}

/** The oldest TensorFlow that can be installed writes this version of graphs. */
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
  const savedModel = loadProto('saved_model')['tensorflow.SavedModel'] as MessageTypeDefinition<
    object,
    object
  >;
  const graphDef = { node: nodes, versions: { producer: GRAPH_VERSION } };
  return savedModel.serialize({
    savedModelSchemaVersion: 1,
    metaGraphs: [{ metaInfoDef: { tags: [TAG] }, graphDef }],
  });
}

/** A session of the graph. The addon takes graphs from a folder only; it is removed at once. */
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
