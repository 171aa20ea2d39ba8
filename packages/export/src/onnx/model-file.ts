import type { AttributeProtoInput } from 'locmoe/internal/rpc/generated/onnx/AttributeProto';
import type { NodeProtoInput } from 'locmoe/internal/rpc/generated/onnx/NodeProto';
import type { TensorProtoInput } from 'locmoe/internal/rpc/generated/onnx/TensorProto';
import type { ValueInfoProtoInput } from 'locmoe/internal/rpc/generated/onnx/ValueInfoProto';
import { loadProto } from 'locmoe/internal/rpc/load-proto';
import { VERSION } from 'locmoe/internal/rpc/version';
import type { Attribute, Graph, GraphNode, Initializer, ValueInfo } from './graph.js';

/** The operator set of the graphs; IR_VERSION is the matching version of the file format. */
const OPERATOR_SET = 20;
const IR_VERSION = 9;

/** A protobuf file has at most 2 GB; beyond this size, the weights are in a separate file. */
const MAX_BYTES_INSIDE = 1.5e9;

/** Readers need small constants, such as shapes, in the model itself. */
const MIN_BYTES_OUTSIDE = 1024;

/** A model file as protobuf, and the weights that are not in it. */
export interface ModelFile {
  readonly model: Buffer;
  /** Contents of the file `weightsFile`, in order; empty if all weights are inside the model. */
  readonly weights: readonly Uint8Array[];
}

/**
 * Encodes the graph as an ONNX model.
 *
 * @param weightsFile name of the file for the weights, beside the model
 */
export function modelFile(graph: Graph, weightsFile: string, maxBytesInside = MAX_BYTES_INSIDE): ModelFile {
  const bytes = graph.initializers.reduce((sum, { data }) => sum + data.byteLength, 0);
  const weights: Uint8Array[] = [];
  let offset = 0;
  const place = ({ data }: Initializer): TensorProtoInput => {
    if (bytes <= maxBytesInside || data.byteLength < MIN_BYTES_OUTSIDE) return { rawData: bytesOf(data) };
    const entries = { location: weightsFile, offset, length: data.byteLength };
    offset += data.byteLength;
    weights.push(bytesOf(data));
    return {
      dataLocation: 'EXTERNAL',
      externalData: Object.entries(entries).map(([key, value]) => ({ key, value: String(value) })),
    };
  };
  const { serialize } = loadProto('onnx', 'onnx.ModelProto');
  const model = serialize({
    irVersion: IR_VERSION,
    producerName: 'locmoe',
    producerVersion: VERSION,
    opsetImport: [{ domain: '', version: OPERATOR_SET }],
    graph: {
      name: 'locmoe',
      node: graph.nodes.map(nodeMessage),
      initializer: graph.initializers.map((initializer) => ({
        name: initializer.name,
        dims: [...initializer.shape],
        dataType: initializer.data instanceof Float32Array ? 'FLOAT' : 'INT64',
        ...place(initializer),
      })),
      input: graph.inputs.map(valueMessage),
      output: graph.outputs.map(valueMessage),
    },
  });
  return { model, weights };
}

function nodeMessage({ name, operator, inputs, outputs, attributes }: GraphNode): NodeProtoInput {
  return {
    name,
    opType: operator,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([key, value]) => ({ name: key, ...attributeValue(value) })),
  };
}

function attributeValue(value: Attribute): AttributeProtoInput {
  if (typeof value === 'number') return { type: 'INT', i: value };
  if (typeof value === 'string') return { type: 'STRING', s: Buffer.from(value) };
  return 'float' in value ? { type: 'FLOAT', f: value.float } : { type: 'INTS', ints: [...value] };
}

function valueMessage({ name, type, shape }: ValueInfo): ValueInfoProtoInput {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: type, shape: { dim } } } };
}

function bytesOf(data: Initializer['data']): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
