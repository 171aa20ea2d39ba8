// Original file: proto/onnx.proto

import type { TypeProtoInput as _onnx_TypeProtoInput, TypeProto as _onnx_TypeProto } from '../onnx/TypeProto.js';

export interface ValueInfoProtoInput {
  'name'?: (string);
  'type'?: (_onnx_TypeProtoInput | null);
}

export interface ValueInfoProto {
  'name': (string);
  'type': (_onnx_TypeProto | null);
}
