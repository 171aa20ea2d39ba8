// Original file: proto/onnx.proto

import type { AttributeProtoInput as _onnx_AttributeProtoInput, AttributeProto as _onnx_AttributeProto } from '../onnx/AttributeProto.js';

export interface NodeProtoInput {
  'input'?: (string)[];
  'output'?: (string)[];
  'name'?: (string);
  'opType'?: (string);
  'attribute'?: (_onnx_AttributeProtoInput)[];
}

export interface NodeProto {
  'input': (string)[];
  'output': (string)[];
  'name': (string);
  'opType': (string);
  'attribute': (_onnx_AttributeProto)[];
}
