import { agentKill } from 'locmoe/internal/chaos/faults/agent-kill';
import { coordinatorKill } from 'locmoe/internal/chaos/faults/coordinator-kill';
import { corruptCheckpoint } from 'locmoe/internal/chaos/faults/corrupt-checkpoint';
import { failpointFault } from 'locmoe/internal/chaos/faults/failpoint';
import { type PlanFault, pick } from 'locmoe/internal/chaos/faults/fault';
import { linkFault } from 'locmoe/internal/chaos/faults/link';
import { workerKill } from 'locmoe/internal/chaos/faults/worker-kill';
import { send } from 'locmoe/internal/chaos/run-process';

/** How a fault is over: the run has restarted, was taken over, has gone on as if nothing was, or has saved a checkpoint. */
export type Outcome = 'restart' | 'takeover' | 'none' | 'saved';

export interface Row {
  readonly plan: PlanFault;
  /** How often; 20 times where nothing else is said. */
  readonly runs?: number;
  readonly outcome: Outcome;
  /** It strikes later than it is injected, and ends its victim: the outage begins with that end. */
  readonly endsVictimLater?: true;
  readonly what: string;
}

const stopWorker: PlanFault = ({ processes, draw }) => {
  const worker = pick(processes.workers, draw('victim'));
  if (worker === undefined) return 'no worker is there';
  const { rank, node, pid } = worker;
  return {
    rank,
    node,
    pid,
    durationS: 0,
    detail: `SIGSTOP of rank ${rank} (pid ${pid})`,
    begin: () => send(worker, 'SIGSTOP'),
  };
};

/** Longer than it takes to give up on it. */
const FROZEN_S = 12;

const freezeAgent: PlanFault = ({ processes, draw }) => {
  const agent = pick(processes.agents, draw('victim'));
  if (agent === undefined) return 'no node agent is there';
  const { node, pid } = agent;
  return {
    rank: null,
    node,
    pid,
    durationS: FROZEN_S,
    detail: `SIGSTOP of the agent of node ${node} (pid ${pid}) for ${FROZEN_S} s`,
    begin: () => send(agent, 'SIGSTOP'),
    end() {
      try {
        send(agent, 'SIGCONT');
      } catch {
        // It was killed and replaced.
      }
    },
  };
};

/** The faults by name, in the order of measurement. */
export const ROWS: Readonly<Record<string, Row>> = {
  'worker-kill': { plan: workerKill, runs: 100, outcome: 'restart', what: 'SIGKILL of a worker' },
  'agent-kill': { plan: agentKill, outcome: 'restart', what: 'SIGKILL of a node agent' },
  'coordinator-kill': {
    plan: coordinatorKill,
    outcome: 'takeover',
    what: 'SIGKILL of a coordinator, which is started again at once',
  },
  'worker-stop': { plan: stopWorker, outcome: 'restart', what: 'SIGSTOP of a worker' },
  'worker-stuck': {
    plan: (context) => failpointFault(context, 'step.begun:sleep=120000', 'an endless step'),
    outcome: 'restart',
    what: 'a worker that is alive and stuck',
  },
  'agent-stop': {
    plan: freezeAgent,
    outcome: 'restart',
    what: `SIGSTOP of a node agent, SIGCONT ${FROZEN_S} s later`,
  },
  partition: {
    plan: (context) => linkFault(context, 20, 0),
    outcome: 'restart',
    what: 'a node is cut off for 20 s',
  },
  'slow-link': {
    plan: (context) => linkFault(context, 10, 125_000),
    outcome: 'none',
    what: "a node's links are limited to 1 Mbit/s for 10 s",
  },
  'disk-full': {
    plan: (context) => failpointFault(context, 'checkpoint.shard:full', 'the disk is full at its next save'),
    outcome: 'saved',
    what: 'the disk is full at a save',
  },
  'save-kill': {
    plan: (context) =>
      failpointFault(
        context,
        `checkpoint.shard:${1 + Math.floor(2 * context.draw('file'))}`,
        'SIGKILL in its next save',
      ),
    outcome: 'restart',
    endsVictimLater: true,
    what: 'SIGKILL of a worker that saves',
  },
  'corrupt-checkpoint': {
    plan: corruptCheckpoint,
    outcome: 'restart',
    what: 'the newest checkpoint is damaged, then SIGKILL of a worker',
  },
  nan: {
    plan: (context) => failpointFault(context, 'step.gradients:nan', 'a NaN in its next gradient'),
    outcome: 'none',
    what: 'one gradient with a NaN',
  },
  'nan-lasting': {
    plan: (context) => failpointFault(context, 'step.gradients:1-3:nan', 'a NaN in its next three gradients'),
    outcome: 'restart',
    what: 'three gradients in a row with a NaN',
  },
};
