import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { generationOf } from '@locmoe/run-format';
import { committedFolders } from '../checkpoint/folders.js';
import { openStored } from '../checkpoint/open-stored.js';
import type { ChaosRecord } from './chaos-record.js';
import type { LiveRun } from './live-run.js';
import { type AgentProcess, isThere, type RunProcesses, send, type WorkerProcess } from './run-process.js';

export interface FaultContext {
  readonly run: LiveRun;
  readonly processes: RunProcesses;
  /** Returns a number in (0, 1) for each name; the same for the same seed and injection. */
  readonly draw: (name: string) => number;
}

/** A fault whose victim and duration are drawn. */
export interface PlannedFault
  extends Pick<ChaosRecord, 'rank' | 'node' | 'pid' | 'durationS' | 'detail' | 'damaged'> {
  /** @throws TrainerError `BAD_INPUT` if it cannot strike any more */
  begin(): Promise<void> | void;
  /** Called after the duration of the fault. */
  end?(): void;
}

/** Draws a fault; returns a text if it cannot be injected now. */
export type PlanFault = (context: FaultContext) => PlannedFault | string;

export interface FaultKind {
  readonly plan: PlanFault;
  /** True if the fault can be injected only into a run that was started with --allow-faults. */
  readonly needsConsent?: true;
  /** True if the fault ends the run unless a supervisor restarts the coordinator. */
  readonly needsSupervisor?: true;
}

/** Beginning and end of a fault, once its victim is drawn; instantaneous unless it has a duration. */
type Strike = Pick<PlannedFault, 'detail' | 'begin'> & Partial<PlannedFault>;

export function pick<T>(candidates: readonly T[], draw: number): T | undefined {
  return candidates[Math.floor(draw * candidates.length)];
}

/** Maps a draw in [0, 1) to a time from `least` to `most`, in steps of 0.1 s. */
function seconds(draw: number, least: number, most: number): number {
  return Math.round(10 * (least + draw * (most - least))) / 10;
}

/** Plans a fault of a drawn worker. */
export function onWorker(plan: (worker: WorkerProcess, context: FaultContext) => Strike | string): PlanFault {
  return (context) => {
    const worker = pick(context.processes.workers, context.draw('victim'));
    if (worker === undefined) return 'no worker is there';
    const { rank, node, pid } = worker;
    const strike = plan(worker, context);
    return typeof strike === 'string' ? strike : { rank, node, pid, durationS: 0, ...strike };
  };
}

/** Plans a fault of a drawn node agent. */
export function onAgent(plan: (agent: AgentProcess, context: FaultContext) => Strike): PlanFault {
  return (context) => {
    const agent = pick(context.processes.agents, context.draw('victim'));
    if (agent === undefined) return 'no node agent is there';
    const { node, pid } = agent;
    return { rank: null, node, pid, durationS: 0, ...plan(agent, context) };
  };
}

export const workerKill = onWorker((worker) => ({
  detail: `SIGKILL of rank ${worker.rank} (pid ${worker.pid})`,
  begin: () => send(worker, 'SIGKILL'),
}));

/** Kills a node agent, and with it its workers. */
export const agentKill = onAgent((agent) => ({
  detail: `SIGKILL of the agent of node ${agent.node} (pid ${agent.pid})`,
  begin: () => send(agent, 'SIGKILL'),
}));

/** Kills the coordinator, which a supervisor must start again. */
export const coordinatorKill: PlanFault = ({ processes: { coordinator } }) => ({
  rank: null,
  node: null,
  pid: coordinator.pid,
  durationS: 0,
  detail: `SIGKILL of the coordinator (pid ${coordinator.pid})`,
  begin: () => send(coordinator, 'SIGKILL'),
});

/** Stops a worker or an agent for 1 to 15 s. */
const stop: PlanFault = ({ processes: { workers, agents }, draw }) => {
  const victim = pick([...workers, ...agents.map((each) => ({ ...each, rank: null }))], draw('victim'));
  if (victim === undefined) return 'no worker and no node agent is there';
  const { rank, node, pid } = victim;
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
      // The process may have been replaced meanwhile.
      if (isThere(victim)) send(victim, 'SIGCONT');
    },
  };
};

/** Cuts (0 bytes a second) or slows down all that a drawn node exchanges with the others. */
export function linkFault(durationOf: (draw: FaultContext['draw']) => number, bytesPerS: number): PlanFault {
  return onAgent(({ node }, { run, draw }) => {
    const durationS = durationOf(draw);
    const what = bytesPerS === 0 ? 'cut off' : `limited to ${bytesPerS / 1000} kB/s`;
    return {
      durationS,
      detail: `node ${node} is ${what} for ${durationS} s`,
      begin: () => run.inject({ fault: 'link', node, link: { seconds: durationS, bytesPerS } }),
    };
  });
}

/** Arms a failpoint in a drawn worker. */
export function failpointFault(specification: string, what: string): PlanFault {
  return onWorker(({ rank, node, pid }, { run }) => ({
    detail: `rank ${rank} (pid ${pid}): ${what}`,
    begin: () => run.inject({ fault: 'failpoint', node, failpoint: { rank, specification } }),
  }));
}

export const diskFull = failpointFault('checkpoint.shard:full', 'the disk is full at its next save');
/** The run skips a step with NaN gradients. */
export const oneNan = failpointFault('step.gradients:nan', 'a NaN in its next gradient');
/** The run goes back to a checkpoint after three steps with NaN gradients in a row. */
export const threeNans = failpointFault('step.gradients:1-3:nan', 'a NaN in its next three gradients');
const SHARE_OF_THREE_NANS = 0.3;

const DAMAGES: Readonly<Record<string, (file: string, draw: number) => void>> = {
  'a flipped bit in': (file, draw) => {
    const bytes = readFileSync(file);
    bytes[Math.floor(draw * bytes.length)]! ^= 1;
    writeFileSync(file, bytes);
  },
  'half of': (file, draw) => truncateSync(file, Math.floor(draw * readFileSync(file).length)),
  'the removal of': (file) => rmSync(file),
};

/**
 * Damages the newest checkpoint and kills a worker, so that the run has to notice and fall back to an older
 * checkpoint, which must exist and load.
 */
export const corruptCheckpoint = onWorker((worker, { run, draw }) => {
  const [newest, ...others] = committedFolders(run.folder.checkpoints);
  if (newest === undefined || !loads(newest)) return 'there is no sound checkpoint to damage';
  if (!others.some(loads)) return 'there is no second checkpoint to fall back to';
  const file = path.join(newest, pick(readdirSync(newest).sort(), draw('file')) ?? '');
  const [how, damage] = pick(Object.entries(DAMAGES), draw('damage'))!;
  return {
    detail: `${how} ${path.relative(run.folder.directory, file)}, and SIGKILL of rank ${worker.rank} (pid ${worker.pid})`,
    damaged: { folder: path.basename(newest), generation: generationOf(newest) ?? 0 },
    begin() {
      damage(file, draw('place'));
      send(worker, 'SIGKILL');
    },
  };
});

function loads(folder: string): boolean {
  try {
    openStored(folder).verify();
    return true;
  } catch {
    return false;
  }
}

export const FAULTS: Readonly<Record<string, FaultKind>> = {
  'worker-kill': { plan: workerKill },
  'agent-kill': { plan: agentKill },
  'coordinator-kill': { plan: coordinatorKill, needsSupervisor: true },
  stop: { plan: stop },
  partition: { plan: linkFault((draw) => seconds(draw('duration'), 1, 15), 0), needsConsent: true },
  'slow-link': { plan: linkFault((draw) => seconds(draw('duration'), 2, 10), 125_000), needsConsent: true },
  'disk-full': { plan: diskFull, needsConsent: true },
  'corrupt-checkpoint': { plan: corruptCheckpoint },
  nan: {
    plan: (context) => (context.draw('lasting') < SHARE_OF_THREE_NANS ? threeNans : oneNan)(context),
    needsConsent: true,
  },
};
