import { type PlanFault, seconds } from './fault.js';
import { linkFault } from './link.js';

/** A node exchanges nothing with the others for 1 to 15 s. */
export const partition: PlanFault = (context) =>
  linkFault(context, seconds(context.draw('duration'), 1, 15), 0);
