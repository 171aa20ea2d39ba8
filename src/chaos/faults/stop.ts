import { processIdentity } from '@locmoe/run-format/process-identity';
import { send } from '../run-process.js';
import { type PlanFault, pick, seconds } from './fault.js';

/** SIGSTOP of a worker or an agent, and SIGCONT 1 to 15 s later. */
export const stop: PlanFault = ({ processes, draw }) => {
  const { workers, agents } = processes;
  const victim = pick([...workers, ...agents.map((each) => ({ ...each, rank: null }))], draw('victim'));
  if (victim === undefined) return 'no worker and no node agent is there';
  const { rank, node, pid, identity } = victim;
  const name = rank === null ? `the agent of node ${node}` : `rank ${rank}`;
  const durationS = seconds(draw('duration'), 1, 15);
  return {
    rank,
    node,
    pid,
    durationS,
    detail: `SIGSTOP of ${name} (pid ${pid}) for ${durationS} s`,
    begin: () => send(victim, 'SIGSTOP'),
    end() {
      // It may have been replaced meanwhile.
      if (processIdentity(pid) === identity) send(victim, 'SIGCONT');
    },
  };
};
