// Original file: proto/coordinator.proto

import type { LayerReportInput as _locmoe_coordinator_v1_LayerReportInput, LayerReport as _locmoe_coordinator_v1_LayerReport } from '../../../locmoe/coordinator/v1/LayerReport.js';

export interface StepReportInput {
  'step'?: (number);
  'rank'?: (number);
  'loss'?: (number | string);
  'auxiliaryLoss'?: (number | string);
  'gradientNorm'?: (number | string);
  'learningRate'?: (number | string);
  'tokens'?: (number);
  'stepMs'?: (number | string);
  'partsMs'?: ({[key: string]: number | string});
  'layers'?: (_locmoe_coordinator_v1_LayerReportInput)[];
  'bytesSameNode'?: (number | string);
  'bytesOtherNode'?: (number | string);
  'allToAllMs'?: (number | string);
  'allToAllWaitMs'?: (number | string);
  'skipped'?: (boolean);
  'cpuMs'?: (number | string);
  'queuedMs'?: (number | string);
  'measures'?: ({[key: string]: number | string});
  'rowBytesTo'?: (number | string)[];
  'startMs'?: ({[key: string]: number | string});
}

/**
 * One rank's report of one step. The coordinator aggregates the ranks of a step.
 */
export interface StepReport {
  'step': (number);
  'rank': (number);
  /**
   * The mean cross-entropy over the tokens of this rank, in nats.
   */
  'loss': (number);
  'auxiliaryLoss': (number);
  'gradientNorm': (number);
  'learningRate': (number);
  'tokens': (number);
  'stepMs': (number);
  /**
   * The time in ms by part of the step (STEP_PARTS). The parts add up to step_ms, except for the gaps between them.
   */
  'partsMs': ({[key: string]: number});
  'layers': (_locmoe_coordinator_v1_LayerReport)[];
  /**
   * The bytes that this rank sent in the sparse layers' collectives, forward and backward, with counts and scores.
   */
  'bytesSameNode': (number);
  'bytesOtherNode': (number);
  /**
   * The time in ms inside all-to-alls, waiting included; it is counted in `exchange` and `waiting` too.
   */
  'allToAllMs': (number);
  /**
   * The waiting alone.
   */
  'allToAllWaitMs': (number);
  /**
   * The step was not applied, as a loss or the gradient was not finite; this is equal on all ranks. loss, auxiliary_loss
   * and gradient_norm are then 0, since workers report in JSON, which has no NaN, and there are no layers.
   */
  'skipped': (boolean);
  /**
   * The CPU time in ms of the process in the step, over all its threads.
   */
  'cpuMs': (number);
  /**
   * The time in ms in which its main thread could run but had no processor.
   */
  'queuedMs': (number);
  /**
   * Numbers that are only recorded and shown, by their names in packages/run-format/src/step-measures.ts.
   */
  'measures': ({[key: string]: number});
  /**
   * The bytes of rows of tokens that this rank sent to each rank in all sparse layers, forward and backward.
   */
  'rowBytesTo': (number)[];
  /**
   * The time in ms by part of the start (START_PARTS), in a rank's first report of a generation; else empty.
   */
  'startMs': ({[key: string]: number});
}
