import { failpointFault } from './failpoint.js';
import type { PlanFault } from './fault.js';

/** The disk is full when a worker writes its part of the next checkpoint. */
export const diskFull: PlanFault = (context) =>
  failpointFault(context, 'checkpoint.shard:full', 'the disk is full at its next save');
