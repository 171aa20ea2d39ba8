// Original file: proto/saved_model.proto

import type { MetaGraphDefInput as _tensorflow_MetaGraphDefInput, MetaGraphDef as _tensorflow_MetaGraphDef } from '../tensorflow/MetaGraphDef.js';
import type { Long } from '@grpc/proto-loader';

export interface SavedModelInput {
  'savedModelSchemaVersion'?: (number | string | Long);
  'metaGraphs'?: (_tensorflow_MetaGraphDefInput)[];
}

export interface SavedModel {
  'savedModelSchemaVersion': (number);
  'metaGraphs': (_tensorflow_MetaGraphDef)[];
}
