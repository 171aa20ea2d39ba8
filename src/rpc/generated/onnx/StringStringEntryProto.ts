// Original file: proto/onnx.proto


export interface StringStringEntryProtoInput {
  'key'?: (string);
  'value'?: (string);
}

export interface StringStringEntryProto {
  'key': (string);
  'value': (string);
}
