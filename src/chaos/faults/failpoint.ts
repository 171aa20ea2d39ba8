import { type FaultContext, type PlannedFault, pick } from './fault.js';

/** Arms a failpoint in a drawn worker. */
export function failpointFault(
  { run, processes, draw }: FaultContext,
  specification: string,
  what: string,
): PlannedFault | string {
  const worker = pick(processes.workers, draw('victim'));
  if (worker === undefined) return 'no worker is there';
  const { rank, node, pid } = worker;
  return {
    rank,
    node,
    pid,
    durationS: 0,
    detail: `rank ${rank} (pid ${pid}): ${what}`,
    begin: () => run.inject({ node, failpoint: { rank, specification } }),
  };
}
