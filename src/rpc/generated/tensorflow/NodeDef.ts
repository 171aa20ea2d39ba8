// Original file: proto/saved_model.proto

import type { AttrValueInput as _tensorflow_AttrValueInput, AttrValue as _tensorflow_AttrValue } from '../tensorflow/AttrValue.js';

export interface NodeDefInput {
  'name'?: (string);
  'op'?: (string);
  'input'?: (string)[];
  'attr'?: ({[key: string]: _tensorflow_AttrValueInput});
}

export interface NodeDef {
  'name': (string);
  'op': (string);
  'input': (string)[];
  'attr': ({[key: string]: _tensorflow_AttrValue});
}
