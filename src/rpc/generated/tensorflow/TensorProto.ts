// Original file: proto/saved_model.proto

import type { TensorShapeProtoInput as _tensorflow_TensorShapeProtoInput, TensorShapeProto as _tensorflow_TensorShapeProto } from '../tensorflow/TensorShapeProto.js';

export interface TensorProtoInput {
  'dtype'?: (number);
  'tensorShape'?: (_tensorflow_TensorShapeProtoInput | null);
  'tensorContent'?: (Buffer | Uint8Array | string);
}

export interface TensorProto {
  /**
   * DataType
   */
  'dtype': (number);
  'tensorShape': (_tensorflow_TensorShapeProto | null);
  'tensorContent': (Buffer);
}
