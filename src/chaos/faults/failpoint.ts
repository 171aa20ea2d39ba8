import { type FaultContext, type PlanFault, type PlannedFault, pick } from './fault.js';

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
    begin: () => run.inject({ fault: 'failpoint', node, failpoint: { rank, specification } }),
  };
}

/** The disk is full when a worker writes its part of the next checkpoint. */
export const diskFull: PlanFault = (context) =>
  failpointFault(context, 'checkpoint.shard:full', 'the disk is full at its next save');

/** Share of the draws that give three NaN in a row, which make the run go back; the others give one, which it skips. */
const LASTING = 0.3;

/** A NaN in a worker's gradient of its next step, or of its next three. */
export const nan: PlanFault = (context) =>
  context.draw('lasting') < LASTING
    ? failpointFault(context, 'step.gradients:1-3:nan', 'a NaN in its next three gradients')
    : failpointFault(context, 'step.gradients:nan', 'a NaN in its next gradient');
