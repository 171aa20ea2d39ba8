// Original file: proto/tensorboard.proto


export interface _tensorflow_Summary_ValueInput {
  'tag'?: (string);
  'simpleValue'?: (number | string);
}

export interface _tensorflow_Summary_Value {
  'tag': (string);
  'simpleValue': (number);
}

export interface SummaryInput {
  'value'?: (_tensorflow_Summary_ValueInput)[];
}

export interface Summary {
  'value': (_tensorflow_Summary_Value)[];
}
