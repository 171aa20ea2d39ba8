// Original file: proto/onnx.proto

import type { NodeProtoInput as _onnx_NodeProtoInput, NodeProto as _onnx_NodeProto } from '../onnx/NodeProto.js';
import type { TensorProtoInput as _onnx_TensorProtoInput, TensorProto as _onnx_TensorProto } from '../onnx/TensorProto.js';
import type { ValueInfoProtoInput as _onnx_ValueInfoProtoInput, ValueInfoProto as _onnx_ValueInfoProto } from '../onnx/ValueInfoProto.js';

export interface GraphProtoInput {
  'node'?: (_onnx_NodeProtoInput)[];
  'name'?: (string);
  'initializer'?: (_onnx_TensorProtoInput)[];
  'input'?: (_onnx_ValueInfoProtoInput)[];
  'output'?: (_onnx_ValueInfoProtoInput)[];
}

export interface GraphProto {
  'node': (_onnx_NodeProto)[];
  'name': (string);
  'initializer': (_onnx_TensorProto)[];
  'input': (_onnx_ValueInfoProto)[];
  'output': (_onnx_ValueInfoProto)[];
}
