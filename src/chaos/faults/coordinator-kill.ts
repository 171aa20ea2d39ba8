import { send } from '../run-process.js';
import type { PlanFault } from './fault.js';

/** SIGKILL of the coordinator, which a supervisor must start again. */
export const coordinatorKill: PlanFault = ({ processes: { coordinator } }) => {
  const { pid } = coordinator;
  return {
    rank: null,
    node: null,
    pid,
    durationS: 0,
    detail: `SIGKILL of the coordinator (pid ${pid})`,
    begin: () => send(coordinator, 'SIGKILL'),
  };
};
