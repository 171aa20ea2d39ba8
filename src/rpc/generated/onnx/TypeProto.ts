// Original file: proto/onnx.proto

import type { _onnx_TensorProto_DataTypeInput, _onnx_TensorProto_DataType } from '../onnx/TensorProto.js';
import type { TensorShapeProtoInput as _onnx_TensorShapeProtoInput, TensorShapeProto as _onnx_TensorShapeProto } from '../onnx/TensorShapeProto.js';

export interface _onnx_TypeProto_TensorInput {
  'elemType'?: (_onnx_TensorProto_DataTypeInput);
  'shape'?: (_onnx_TensorShapeProtoInput | null);
}

export interface _onnx_TypeProto_Tensor {
  'elemType': (_onnx_TensorProto_DataType);
  'shape': (_onnx_TensorShapeProto | null);
}

export interface TypeProtoInput {
  'tensorType'?: (_onnx_TypeProto_TensorInput | null);
}

export interface TypeProto {
  'tensorType': (_onnx_TypeProto_Tensor | null);
}
