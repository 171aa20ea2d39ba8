import { type FaultContext, type PlanFault, type PlannedFault, pick, seconds } from './fault.js';

/** Cuts (0 bytes a second) or slows down all that a drawn node exchanges with the others. */
export function linkFault(
  { run, processes, draw }: FaultContext,
  durationS: number,
  bytesPerS: number,
): PlannedFault | string {
  const agent = pick(processes.agents, draw('victim'));
  if (agent === undefined) return 'no node agent is there';
  const { node, pid } = agent;
  const what = bytesPerS === 0 ? 'cut off' : `limited to ${bytesPerS / 1000} kB/s`;
  return {
    rank: null,
    node,
    pid,
    durationS,
    detail: `node ${node} is ${what} for ${durationS} s`,
    begin: () => run.inject({ fault: 'link', node, link: { seconds: durationS, bytesPerS } }),
  };
}

/** A node exchanges nothing with the others for 1 to 15 s. */
export const partition: PlanFault = (context) =>
  linkFault(context, seconds(context.draw('duration'), 1, 15), 0);

/** 1 Mbit/s. */
const BYTES_PER_S = 125_000;

/** A node exchanges 1 Mbit a second with the others for 2 to 10 s. */
export const slowLink: PlanFault = (context) =>
  linkFault(context, seconds(context.draw('duration'), 2, 10), BYTES_PER_S);
