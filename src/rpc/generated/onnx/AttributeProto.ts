// Original file: proto/onnx.proto

import type { Long } from '@grpc/proto-loader';

// Original file: proto/onnx.proto

export const _onnx_AttributeProto_AttributeType = {
  UNDEFINED: 'UNDEFINED',
  FLOAT: 'FLOAT',
  INT: 'INT',
  STRING: 'STRING',
  INTS: 'INTS',
} as const;

export type _onnx_AttributeProto_AttributeTypeInput =
  | 'UNDEFINED'
  | 0
  | 'FLOAT'
  | 1
  | 'INT'
  | 2
  | 'STRING'
  | 3
  | 'INTS'
  | 7

export type _onnx_AttributeProto_AttributeType = typeof _onnx_AttributeProto_AttributeType[keyof typeof _onnx_AttributeProto_AttributeType]

export interface AttributeProtoInput {
  'name'?: (string);
  'f'?: (number | string);
  'i'?: (number | string | Long);
  's'?: (Buffer | Uint8Array | string);
  'ints'?: (number | string | Long)[];
  'type'?: (_onnx_AttributeProto_AttributeTypeInput);
}

export interface AttributeProto {
  'name': (string);
  'f': (number);
  'i': (number);
  's': (Buffer);
  'ints': (number)[];
  'type': (_onnx_AttributeProto_AttributeType);
}
