import { type FaultContext, type PlannedFault, pick } from './fault.js';

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
    begin: () => run.inject({ node, link: { seconds: durationS, bytesPerS } }),
  };
}
