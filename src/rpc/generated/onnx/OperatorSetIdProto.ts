// Original file: proto/onnx.proto

import type { Long } from '@grpc/proto-loader';

export interface OperatorSetIdProtoInput {
  'domain'?: (string);
  'version'?: (number | string | Long);
}

export interface OperatorSetIdProto {
  /**
   * Empty for ONNX's own operators.
   */
  'domain': (string);
  'version': (number);
}
