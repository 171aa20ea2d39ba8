// Original file: proto/saved_model.proto

import type { Long } from '@grpc/proto-loader';

export interface _tensorflow_TensorShapeProto_DimInput {
  'size'?: (number | string | Long);
}

export interface _tensorflow_TensorShapeProto_Dim {
  'size': (number);
}

export interface TensorShapeProtoInput {
  'dim'?: (_tensorflow_TensorShapeProto_DimInput)[];
}

export interface TensorShapeProto {
  'dim': (_tensorflow_TensorShapeProto_Dim)[];
}
