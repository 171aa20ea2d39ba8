// Original file: proto/saved_model.proto


export interface VersionDefInput {
  'producer'?: (number);
}

export interface VersionDef {
  'producer': (number);
}
