import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { AttrValueInput as _tensorflow_AttrValueInput, AttrValue as _tensorflow_AttrValue } from './tensorflow/AttrValue.js';
import type { GraphDefInput as _tensorflow_GraphDefInput, GraphDef as _tensorflow_GraphDef } from './tensorflow/GraphDef.js';
import type { MetaGraphDefInput as _tensorflow_MetaGraphDefInput, MetaGraphDef as _tensorflow_MetaGraphDef } from './tensorflow/MetaGraphDef.js';
import type { NodeDefInput as _tensorflow_NodeDefInput, NodeDef as _tensorflow_NodeDef } from './tensorflow/NodeDef.js';
import type { SavedModelInput as _tensorflow_SavedModelInput, SavedModel as _tensorflow_SavedModel } from './tensorflow/SavedModel.js';
import type { TensorProtoInput as _tensorflow_TensorProtoInput, TensorProto as _tensorflow_TensorProto } from './tensorflow/TensorProto.js';
import type { TensorShapeProtoInput as _tensorflow_TensorShapeProtoInput, TensorShapeProto as _tensorflow_TensorShapeProto } from './tensorflow/TensorShapeProto.js';
import type { VersionDefInput as _tensorflow_VersionDefInput, VersionDef as _tensorflow_VersionDef } from './tensorflow/VersionDef.js';

export interface ProtoGrpcType {
  tensorflow: {
    AttrValue: MessageTypeDefinition<_tensorflow_AttrValueInput, _tensorflow_AttrValue>
    GraphDef: MessageTypeDefinition<_tensorflow_GraphDefInput, _tensorflow_GraphDef>
    MetaGraphDef: MessageTypeDefinition<_tensorflow_MetaGraphDefInput, _tensorflow_MetaGraphDef>
    NodeDef: MessageTypeDefinition<_tensorflow_NodeDefInput, _tensorflow_NodeDef>
    SavedModel: MessageTypeDefinition<_tensorflow_SavedModelInput, _tensorflow_SavedModel>
    TensorProto: MessageTypeDefinition<_tensorflow_TensorProtoInput, _tensorflow_TensorProto>
    TensorShapeProto: MessageTypeDefinition<_tensorflow_TensorShapeProtoInput, _tensorflow_TensorShapeProto>
    VersionDef: MessageTypeDefinition<_tensorflow_VersionDefInput, _tensorflow_VersionDef>
  }
}

