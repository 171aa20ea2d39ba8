import {
  agentKill,
  coordinatorKill,
  corruptCheckpoint,
  diskFull,
  failpointFault,
  linkFault,
  onAgent,
  oneNan,
  onWorker,
  type PlanFault,
  threeNans,
  workerKill,
} from 'locmoe/internal/chaos/faults';
import { send } from 'locmoe/internal/chaos/run-process';

/**
 * How a fault ends: the run restarts, it restarts on fewer nodes until another one joins, another coordinator
 * takes over, training continues undisturbed, or a checkpoint is saved.
 */
export type Outcome = 'restart' | 'fewer' | 'takeover' | 'none' | 'saved';

interface Layout {
  readonly nodes: number;
  readonly workersPerNode: number;
  /** Further overrides of the recipe. */
  readonly sets: readonly string[];
}

export interface Row {
  readonly plan: PlanFault;
  /** Number of injections; 20 by default. */
  readonly runs?: number;
  readonly outcome: Outcome;
  /** Two nodes with two workers each by default. */
  readonly layout?: Layout;
  /** Whether the fault ends its victim some time after the injection; the outage begins with that end. */
  readonly endsVictimLater?: true;
  readonly what: string;
}

const stopWorker = onWorker((worker) => ({
  detail: `SIGSTOP of rank ${worker.rank} (pid ${worker.pid})`,
  begin: () => send(worker, 'SIGSTOP'),
}));

/** Duration of a freeze, longer than the run waits before it gives up on the agent. */
const FROZEN_S = 12;

const freezeAgent = onAgent((agent) => ({
  durationS: FROZEN_S,
  detail: `SIGSTOP of the agent of node ${agent.node} (pid ${agent.pid}) for ${FROZEN_S} s`,
  begin: () => send(agent, 'SIGSTOP'),
  end() {
    try {
      send(agent, 'SIGCONT');
    } catch {
      // The agent has been killed and replaced.
    }
  },
}));

/** The faults by name, in the order of measurement. */
export const ROWS: Readonly<Record<string, Row>> = {
  'worker-kill': { plan: workerKill, runs: 100, outcome: 'restart', what: 'SIGKILL of a worker' },
  'agent-kill': { plan: agentKill, outcome: 'restart', what: 'SIGKILL of a node agent' },
  'node-lost': {
    plan: agentKill,
    outcome: 'fewer',
    layout: {
      nodes: 3,
      workersPerNode: 1,
      // Experts and batch can be split over three nodes and over two, and the width over the experts.
      sets: ['cluster.minNodes=2', 'moe.numExperts=6', 'model.dModel=120', 'train.globalBatch=30'],
    },
    what: 'SIGKILL of a node agent that is not started again, so that the run goes on with fewer nodes until another one joins',
  },
  'coordinator-kill': {
    plan: coordinatorKill,
    outcome: 'takeover',
    what: 'SIGKILL of a coordinator, which is started again at once',
  },
  'worker-stop': { plan: stopWorker, outcome: 'restart', what: 'SIGSTOP of a worker' },
  'worker-stuck': {
    plan: failpointFault('step.begun:sleep=120000', 'an endless step'),
    outcome: 'restart',
    what: 'a worker that is alive and stuck',
  },
  'agent-stop': {
    plan: freezeAgent,
    outcome: 'restart',
    what: `SIGSTOP of a node agent, SIGCONT ${FROZEN_S} s later`,
  },
  partition: {
    plan: linkFault(() => 20, 0),
    outcome: 'restart',
    what: 'a node is cut off for 20 s',
  },
  'slow-link': {
    plan: linkFault(() => 10, 125_000),
    outcome: 'none',
    what: "a node's links are limited to 1 Mbit/s for 10 s",
  },
  'disk-full': {
    plan: diskFull,
    outcome: 'saved',
    what: 'the disk is full at a save',
  },
  'save-kill': {
    plan: (context) =>
      failpointFault(
        `checkpoint.shard:${1 + Math.floor(2 * context.draw('file'))}`,
        'SIGKILL in its next save',
      )(context),
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
    plan: oneNan,
    outcome: 'none',
    what: 'one gradient with a NaN',
  },
  'nan-lasting': {
    plan: threeNans,
    outcome: 'restart',
    what: 'three gradients in a row with a NaN',
  },
};
