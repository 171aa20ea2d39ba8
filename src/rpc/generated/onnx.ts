import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { AttributeProtoInput as _onnx_AttributeProtoInput, AttributeProto as _onnx_AttributeProto } from './onnx/AttributeProto.js';
import type { GraphProtoInput as _onnx_GraphProtoInput, GraphProto as _onnx_GraphProto } from './onnx/GraphProto.js';
import type { ModelProtoInput as _onnx_ModelProtoInput, ModelProto as _onnx_ModelProto } from './onnx/ModelProto.js';
import type { NodeProtoInput as _onnx_NodeProtoInput, NodeProto as _onnx_NodeProto } from './onnx/NodeProto.js';
import type { OperatorSetIdProtoInput as _onnx_OperatorSetIdProtoInput, OperatorSetIdProto as _onnx_OperatorSetIdProto } from './onnx/OperatorSetIdProto.js';
import type { StringStringEntryProtoInput as _onnx_StringStringEntryProtoInput, StringStringEntryProto as _onnx_StringStringEntryProto } from './onnx/StringStringEntryProto.js';
import type { TensorProtoInput as _onnx_TensorProtoInput, TensorProto as _onnx_TensorProto } from './onnx/TensorProto.js';
import type { TensorShapeProtoInput as _onnx_TensorShapeProtoInput, TensorShapeProto as _onnx_TensorShapeProto } from './onnx/TensorShapeProto.js';
import type { TypeProtoInput as _onnx_TypeProtoInput, TypeProto as _onnx_TypeProto } from './onnx/TypeProto.js';
import type { ValueInfoProtoInput as _onnx_ValueInfoProtoInput, ValueInfoProto as _onnx_ValueInfoProto } from './onnx/ValueInfoProto.js';

export interface ProtoGrpcType {
  onnx: {
    AttributeProto: MessageTypeDefinition<_onnx_AttributeProtoInput, _onnx_AttributeProto>
    GraphProto: MessageTypeDefinition<_onnx_GraphProtoInput, _onnx_GraphProto>
    ModelProto: MessageTypeDefinition<_onnx_ModelProtoInput, _onnx_ModelProto>
    NodeProto: MessageTypeDefinition<_onnx_NodeProtoInput, _onnx_NodeProto>
    OperatorSetIdProto: MessageTypeDefinition<_onnx_OperatorSetIdProtoInput, _onnx_OperatorSetIdProto>
    StringStringEntryProto: MessageTypeDefinition<_onnx_StringStringEntryProtoInput, _onnx_StringStringEntryProto>
    TensorProto: MessageTypeDefinition<_onnx_TensorProtoInput, _onnx_TensorProto>
    TensorShapeProto: MessageTypeDefinition<_onnx_TensorShapeProtoInput, _onnx_TensorShapeProto>
    TypeProto: MessageTypeDefinition<_onnx_TypeProtoInput, _onnx_TypeProto>
    ValueInfoProto: MessageTypeDefinition<_onnx_ValueInfoProtoInput, _onnx_ValueInfoProto>
  }
}

