import type { OneOf } from '../../one-of.js';
// Original file: proto/saved_model.proto

import type { TensorProtoInput as _tensorflow_TensorProtoInput, TensorProto as _tensorflow_TensorProto } from '../tensorflow/TensorProto.js';
import type { Long } from '@grpc/proto-loader';

export interface _tensorflow_AttrValue_ListValueInput {
  'i'?: (number | string | Long)[];
}

export interface _tensorflow_AttrValue_ListValue {
  'i': (number)[];
}

export interface AttrValueInput {
  'list'?: (_tensorflow_AttrValue_ListValueInput | null);
  's'?: (Buffer | Uint8Array | string);
  'i'?: (number | string | Long);
  'f'?: (number | string);
  'b'?: (boolean);
  'type'?: (number);
  'tensor'?: (_tensorflow_TensorProtoInput | null);
  'value'?: "list"|"s"|"i"|"f"|"b"|"type"|"tensor";
}

export type AttrValue = OneOf<AttrValueFields, 'value'>;

interface AttrValueFields {
  'list'?: (_tensorflow_AttrValue_ListValue | null);
  's'?: (Buffer);
  'i'?: (number);
  'f'?: (number);
  'b'?: (boolean);
  /**
   * DataType
   */
  'type'?: (number);
  'tensor'?: (_tensorflow_TensorProto | null);
  'value'?: "list"|"s"|"i"|"f"|"b"|"type"|"tensor";
}
