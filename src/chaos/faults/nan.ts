import { failpointFault } from './failpoint.js';
import type { PlanFault } from './fault.js';

/** Share of the draws that give three NaN in a row, which make the run go back; the others give one, which it skips. */
const LASTING = 0.3;

/** A NaN in a worker's gradient of its next step, or of its next three. */
export const nan: PlanFault = (context) =>
  context.draw('lasting') < LASTING
    ? failpointFault(context, 'step.gradients:1-3:nan', 'a NaN in its next three gradients')
    : failpointFault(context, 'step.gradients:nan', 'a NaN in its next gradient');
