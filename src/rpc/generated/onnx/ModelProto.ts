// Original file: proto/onnx.proto

import type { GraphProtoInput as _onnx_GraphProtoInput, GraphProto as _onnx_GraphProto } from '../onnx/GraphProto.js';
import type { OperatorSetIdProtoInput as _onnx_OperatorSetIdProtoInput, OperatorSetIdProto as _onnx_OperatorSetIdProto } from '../onnx/OperatorSetIdProto.js';
import type { Long } from '@grpc/proto-loader';

export interface ModelProtoInput {
  'irVersion'?: (number | string | Long);
  'producerName'?: (string);
  'producerVersion'?: (string);
  'docString'?: (string);
  'graph'?: (_onnx_GraphProtoInput | null);
  'opsetImport'?: (_onnx_OperatorSetIdProtoInput)[];
}

export interface ModelProto {
  /**
   * Version of the file format; 9 belongs to operator set 20.
   */
  'irVersion': (number);
  'producerName': (string);
  'producerVersion': (string);
  'docString': (string);
  'graph': (_onnx_GraphProto | null);
  'opsetImport': (_onnx_OperatorSetIdProto)[];
}
