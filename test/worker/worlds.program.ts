// Runs on this rank every case that a test requests, so that the ranks of a layout start only once.

import { rankProgram } from '@locmoe/test-kit';
import { type ExpertCase, type ExpertResult, trainInMemoryAndFile } from './expert-cases.js';
import { type LayoutCase, trainLayout } from './layout-cases.js';
import { type PlacedCase, type PlacedResult, trainPlaced } from './placed-cases.js';
import { type SelectionCase, type SelectionResult, select } from './selection-cases.js';
import { type RankTraffic, type TrafficCase, trafficOf } from './traffic-cases.js';

export interface WorldTask {
  readonly layouts: readonly LayoutCase[];
  readonly selections: readonly SelectionCase[];
  readonly traffic: readonly TrafficCase[];
  readonly placed: readonly PlacedCase[];
  readonly experts: readonly ExpertCase[];
  /** The folder for files of experts. */
  readonly folder: string;
}

/** Results of each case. */
export interface WorldResult {
  readonly layouts: readonly (readonly number[])[];
  readonly selections: readonly SelectionResult[];
  readonly traffic: readonly RankTraffic[];
  /** Results with consecutive experts, and with placed ones. */
  readonly placed: readonly (readonly PlacedResult[])[];
  /** Results with experts in memory, and in a file. */
  readonly experts: readonly (readonly ExpertResult[])[];
}

rankProgram(
  (transport, { layouts, selections, traffic, placed, experts, folder }: WorldTask): WorldResult => ({
    layouts: layouts.map((each) => trainLayout(transport, each)),
    selections: selections.map((each) => select(transport, each)),
    traffic: traffic.map((each) => trafficOf(transport, each)),
    placed: placed.map((each) => [trainPlaced(transport, each, false), trainPlaced(transport, each, true)]),
    experts: experts.map((each) => trainInMemoryAndFile(transport, each, folder)),
  }),
);
