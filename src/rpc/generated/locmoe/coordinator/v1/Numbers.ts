// Original file: proto/coordinator.proto


export interface NumbersInput {
  'counts'?: (number)[];
  'values'?: (number | string)[];
}

/**
 * One number, one for each expert, or the sum and the count of a mean, in one of the fields.
 */
export interface Numbers {
  'counts': (number)[];
  'values': (number)[];
}
