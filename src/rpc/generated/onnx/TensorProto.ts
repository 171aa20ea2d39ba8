// Original file: proto/onnx.proto

import type { StringStringEntryProtoInput as _onnx_StringStringEntryProtoInput, StringStringEntryProto as _onnx_StringStringEntryProto } from '../onnx/StringStringEntryProto.js';
import type { Long } from '@grpc/proto-loader';

// Original file: proto/onnx.proto

export const _onnx_TensorProto_DataLocation = {
  DEFAULT: 'DEFAULT',
  EXTERNAL: 'EXTERNAL',
} as const;

export type _onnx_TensorProto_DataLocationInput =
  | 'DEFAULT'
  | 0
  | 'EXTERNAL'
  | 1

export type _onnx_TensorProto_DataLocation = typeof _onnx_TensorProto_DataLocation[keyof typeof _onnx_TensorProto_DataLocation]

// Original file: proto/onnx.proto

export const _onnx_TensorProto_DataType = {
  UNDEFINED: 'UNDEFINED',
  FLOAT: 'FLOAT',
  INT64: 'INT64',
} as const;

export type _onnx_TensorProto_DataTypeInput =
  | 'UNDEFINED'
  | 0
  | 'FLOAT'
  | 1
  | 'INT64'
  | 7

export type _onnx_TensorProto_DataType = typeof _onnx_TensorProto_DataType[keyof typeof _onnx_TensorProto_DataType]

export interface TensorProtoInput {
  'dims'?: (number | string | Long)[];
  'dataType'?: (_onnx_TensorProto_DataTypeInput);
  'name'?: (string);
  'rawData'?: (Buffer | Uint8Array | string);
  'externalData'?: (_onnx_StringStringEntryProtoInput)[];
  'dataLocation'?: (_onnx_TensorProto_DataLocationInput);
}

export interface TensorProto {
  'dims': (number)[];
  'dataType': (_onnx_TensorProto_DataType);
  'name': (string);
  /**
   * Row-major, little-endian.
   */
  'rawData': (Buffer);
  /**
   * Keys location (a file beside this one), offset and length in bytes.
   */
  'externalData': (_onnx_StringStringEntryProto)[];
  'dataLocation': (_onnx_TensorProto_DataLocation);
}
