// Original file: proto/saved_model.proto

import type { GraphDefInput as _tensorflow_GraphDefInput, GraphDef as _tensorflow_GraphDef } from '../tensorflow/GraphDef.js';

export interface _tensorflow_MetaGraphDef_MetaInfoDefInput {
  'tags'?: (string)[];
}

export interface _tensorflow_MetaGraphDef_MetaInfoDef {
  'tags': (string)[];
}

export interface MetaGraphDefInput {
  'metaInfoDef'?: (_tensorflow_MetaGraphDef_MetaInfoDefInput | null);
  'graphDef'?: (_tensorflow_GraphDefInput | null);
}

export interface MetaGraphDef {
  'metaInfoDef': (_tensorflow_MetaGraphDef_MetaInfoDef | null);
  'graphDef': (_tensorflow_GraphDef | null);
}
