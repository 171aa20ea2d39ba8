import { send } from '../run-process.js';
import { type PlanFault, pick } from './fault.js';

/** SIGKILL of a node agent, with which its workers die. */
export const agentKill: PlanFault = ({ processes, draw }) => {
  const agent = pick(processes.agents, draw('victim'));
  if (agent === undefined) return 'no node agent is there';
  const { node, pid } = agent;
  return {
    rank: null,
    node,
    pid,
    durationS: 0,
    detail: `SIGKILL of the agent of node ${node} (pid ${pid})`,
    begin: () => send(agent, 'SIGKILL'),
  };
};
