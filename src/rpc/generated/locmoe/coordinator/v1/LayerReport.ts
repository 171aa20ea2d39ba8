// Original file: proto/coordinator.proto

import type { NumbersInput as _locmoe_coordinator_v1_NumbersInput, Numbers as _locmoe_coordinator_v1_Numbers } from '../../../locmoe/coordinator/v1/Numbers.js';

export interface LayerReportInput {
  'layer'?: (number);
  'rowBytes'?: (number);
  'measures'?: ({[key: string]: _locmoe_coordinator_v1_NumbersInput});
}

/**
 * A sparse layer in one step of one rank.
 */
export interface LayerReport {
  'layer': (number);
  /**
   * The bytes of a token's activations.
   */
  'rowBytes': (number);
  /**
   * The measures by their names in packages/run-format/src/layer-measures.ts.
   */
  'measures': ({[key: string]: _locmoe_coordinator_v1_Numbers});
}
