// Original file: proto/coordinator.proto


/**
 * A sparse layer in one step of one rank.
 */
export interface LayerReportInput {
  'layer'?: (number);
  /**
   * The choices by expert before drops, for the tokens of this rank.
   */
  'routed'?: (number)[];
  /**
   * The choices by expert after drops.
   */
  'kept'?: (number)[];
  /**
   * The kept choices by how far their tokens travel.
   */
  'sameWorker'?: (number);
  'sameNode'?: (number);
  'otherNode'?: (number);
  /**
   * The choices by expert that were dropped because the expert was full.
   */
  'overCapacity'?: (number)[];
  /**
   * The choices by expert that were dropped because the expert preferred others. routed = kept + over_capacity +
   * not_chosen.
   */
  'notChosen'?: (number)[];
  /**
   * The capacity of each expert over all ranks; 0 for no limit.
   */
  'capacity'?: (number | string)[];
  /**
   * The bytes of a token's activations.
   */
  'rowBytes'?: (number);
  /**
   * The sum of the cosines between tokens and their experts' gate vectors; 0 without gate vectors.
   */
  'cosineSum'?: (number | string);
  /**
   * The number of choices in that sum.
   */
  'cosineCount'?: (number);
}

/**
 * A sparse layer in one step of one rank.
 */
export interface LayerReport {
  'layer': (number);
  /**
   * The choices by expert before drops, for the tokens of this rank.
   */
  'routed': (number)[];
  /**
   * The choices by expert after drops.
   */
  'kept': (number)[];
  /**
   * The kept choices by how far their tokens travel.
   */
  'sameWorker': (number);
  'sameNode': (number);
  'otherNode': (number);
  /**
   * The choices by expert that were dropped because the expert was full.
   */
  'overCapacity': (number)[];
  /**
   * The choices by expert that were dropped because the expert preferred others. routed = kept + over_capacity +
   * not_chosen.
   */
  'notChosen': (number)[];
  /**
   * The capacity of each expert over all ranks; 0 for no limit.
   */
  'capacity': (number)[];
  /**
   * The bytes of a token's activations.
   */
  'rowBytes': (number);
  /**
   * The sum of the cosines between tokens and their experts' gate vectors; 0 without gate vectors.
   */
  'cosineSum': (number);
  /**
   * The number of choices in that sum.
   */
  'cosineCount': (number);
}
