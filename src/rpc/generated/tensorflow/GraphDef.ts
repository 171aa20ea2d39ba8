// Original file: proto/saved_model.proto

import type { NodeDefInput as _tensorflow_NodeDefInput, NodeDef as _tensorflow_NodeDef } from '../tensorflow/NodeDef.js';
import type { VersionDefInput as _tensorflow_VersionDefInput, VersionDef as _tensorflow_VersionDef } from '../tensorflow/VersionDef.js';

export interface GraphDefInput {
  'node'?: (_tensorflow_NodeDefInput)[];
  'versions'?: (_tensorflow_VersionDefInput | null);
}

export interface GraphDef {
  'node': (_tensorflow_NodeDef)[];
  'versions': (_tensorflow_VersionDef | null);
}
