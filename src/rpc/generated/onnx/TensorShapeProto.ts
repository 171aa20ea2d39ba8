import type { OneOf } from '../../one-of.js';
// Original file: proto/onnx.proto

import type { Long } from '@grpc/proto-loader';

export interface _onnx_TensorShapeProto_DimensionInput {
  'dimValue'?: (number | string | Long);
  'dimParam'?: (string);
  'value'?: "dimValue"|"dimParam";
}

export type _onnx_TensorShapeProto_Dimension = OneOf<_onnx_TensorShapeProto_DimensionFields, 'value'>;

interface _onnx_TensorShapeProto_DimensionFields {
  'dimValue'?: (number);
  /**
   * The same name is the same size everywhere.
   */
  'dimParam'?: (string);
  'value'?: "dimValue"|"dimParam";
}

export interface TensorShapeProtoInput {
  'dim'?: (_onnx_TensorShapeProto_DimensionInput)[];
}

export interface TensorShapeProto {
  'dim': (_onnx_TensorShapeProto_Dimension)[];
}
