import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import type { RunRecord } from '@locmoe/run-format';
import { isOfThisMachine, processIdentity } from '@locmoe/run-format/process-identity';
import { TrainerError } from '../errors.js';
import { processTree } from '../os/process-info.js';
import { parseAddress } from '../rpc/address.js';
import type { NodeProcess, StatusReply } from '../rpc/generated/messages.js';

/** A process of this user on this machine that was shown to belong to a run. */
export interface RunProcess {
  readonly pid: number;
  /** Distinguishes the process from a later one with the same pid (processIdentity). */
  readonly identity: string;
}

export interface AgentProcess extends RunProcess {
  readonly node: number;
}

export interface WorkerProcess extends RunProcess {
  readonly node: number;
  readonly rank: number;
}

/** The processes of a run that may be harmed. */
export interface RunProcesses {
  readonly coordinator: RunProcess;
  /** Agent of each node. */
  readonly agents: readonly AgentProcess[];
  /** Worker of each rank. */
  readonly workers: readonly WorkerProcess[];
}

/** @throws TrainerError `BAD_INPUT` if the coordinator is not a process of this user on this machine */
export function coordinatorProcess(record: RunRecord): RunProcess {
  const process = ownProcess(record.pid);
  if (!isOfThisMachine(record) || process === null || process.identity !== record.process)
    throw new TrainerError(
      'BAD_INPUT',
      `run ${record.runId}: its coordinator (pid ${record.pid}) is no process of this user on this machine`,
    );
  return process;
}

/**
 * Finds the processes that a run's status names, leaving out those of other users, machines and runs. An agent is known
 * by its command line with the coordinator's port, a worker by its command line and its agent as parent.
 */
export function processesOf(record: RunRecord, { nodes, workers }: StatusReply): RunProcesses {
  const agents = nodes.flatMap((node) => agentProcess(record, node) ?? []).sort((a, b) => a.node - b.node);
  const children = agents.map((agent) => ({ agent, tree: new Set(processTree([agent.pid])) }));
  return {
    coordinator: coordinatorProcess(record),
    agents,
    workers: workers
      .flatMap(({ rank, pid }): WorkerProcess[] => {
        const process = ownProcess(pid);
        const parent = children.find(({ agent, tree }) => pid !== agent.pid && tree.has(pid));
        if (process === null || parent === undefined || !isWorker(pid)) return [];
        return [{ ...process, rank, node: parent.agent.node }];
      })
      .sort((a, b) => a.rank - b.rank),
  };
}

/** Tells whether the process still exists, perhaps as a zombie. */
export function isThere({ pid, identity }: RunProcess): boolean {
  return processIdentity(pid) === identity;
}

/** @throws TrainerError `BAD_INPUT` if the process has ended meanwhile */
export function send(victim: RunProcess, signal: NodeJS.Signals): void {
  if (!isThere(victim)) throw new TrainerError('BAD_INPUT', `process ${victim.pid} has ended meanwhile`);
  process.kill(victim.pid, signal);
}

/** Tells whether a coordinator was started by `locmoe serve`, so that its nodes outlive it. */
export function isServed({ pid }: RunProcess): boolean {
  return commandLineOf(pid).includes('serve');
}

function agentProcess(record: RunRecord, { node, host, pid }: NodeProcess): AgentProcess | null {
  const process = host === hostname() ? ownProcess(pid) : null;
  if (process === null) return null;
  const words = commandLineOf(pid);
  const at = words[words.indexOf('--coordinator') + 1] ?? '';
  const ports = [record.address, record.localAddress ?? record.address].map(portOf);
  return words.includes('node') && ports.includes(portOf(at)) ? { ...process, node } : null;
}

function isWorker(pid: number): boolean {
  return commandLineOf(pid).some((word) => /\/worker\/main\.[jt]s$/.test(word));
}

/** Returns null if there is no such process, or it is another user's. */
function ownProcess(pid: number): RunProcess | null {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid?.()) return null;
  } catch {
    return null;
  }
  const identity = processIdentity(pid);
  return identity === '' ? null : { pid, identity };
}

function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** Returns NaN for a text that is not an address. */
function portOf(address: string): number {
  try {
    return parseAddress('', address).port;
  } catch {
    return Number.NaN;
  }
}
