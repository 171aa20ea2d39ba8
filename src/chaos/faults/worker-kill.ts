import { send } from '../run-process.js';
import { type PlanFault, pick } from './fault.js';

/** SIGKILL of a worker. */
export const workerKill: PlanFault = ({ processes, draw }) => {
  const worker = pick(processes.workers, draw('victim'));
  if (worker === undefined) return 'no worker is there';
  const { rank, node, pid } = worker;
  return {
    rank,
    node,
    pid,
    durationS: 0,
    detail: `SIGKILL of rank ${rank} (pid ${pid})`,
    begin: () => send(worker, 'SIGKILL'),
  };
};
