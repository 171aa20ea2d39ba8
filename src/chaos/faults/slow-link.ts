import { type PlanFault, seconds } from './fault.js';
import { linkFault } from './link.js';

/** 1 Mbit/s. */
const BYTES_PER_S = 125_000;

/** A node exchanges 1 Mbit a second with the others for 2 to 10 s. */
export const slowLink: PlanFault = (context) =>
  linkFault(context, seconds(context.draw('duration'), 2, 10), BYTES_PER_S);
