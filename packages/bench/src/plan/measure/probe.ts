import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { WORKER_ENV } from 'locmoe/agent/worker-env';
import { TrainerError } from 'locmoe/errors';
import type { FromNode, NodeTask, ProbeCase, ProbeOutcome, ToNode } from './probe-messages.js';

const NODE = fileURLToPath(new URL('./probe-node.js', import.meta.url));

/** Longest that the cases of one probe may take. */
export const PROBE_DEADLINE_MS = 300_000;

export interface ProbeOptions {
  readonly numNodes: number;
  readonly workersPerNode: number;
  readonly cases: readonly ProbeCase[];
  readonly deadlineMs: number;
}

/**
 * Runs cases on agents and workers of their own, as a training would have them, and returns what rank 0 measured. No
 * process is left behind.
 *
 * @throws TrainerError `INTERNAL` if a process of the probe failed or the deadline passed
 */
export async function runProbe(options: ProbeOptions): Promise<ProbeOutcome> {
  const { numNodes, workersPerNode, cases, deadlineMs } = options;
  const runId = `probe-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  const env = { ...process.env, ...WORKER_ENV };
  const nodes = Array.from({ length: numNodes }, () => fork(NODE, { serialization: 'advanced', env }));
  const ended = nodes.map(exitOf);
  let timer: NodeJS.Timeout | undefined;
  const outcome = new Promise<ProbeOutcome>((resolve, reject) => {
    const fail = (message: string) => reject(new TrainerError('INTERNAL', `calibration: ${message}`));
    timer = setTimeout(
      () => fail(`no result from ${numNodes} x ${workersPerNode} within ${deadlineMs / 1000} s`),
      deadlineMs,
    );
    const addresses: string[] = [];
    let numDone = 0;
    let result: ProbeOutcome | undefined;
    nodes.forEach((child, node) => {
      child.on('error', (error) => fail(error.message));
      child.on('exit', (code) => code !== 0 && fail(`node ${node} of the probe ended with code ${code}`));
      child.on('message', (message: FromNode) => {
        if (message.type === 'listening') {
          addresses[node] = message.address;
          if (Object.keys(addresses).length === numNodes)
            for (const each of nodes) tell(each, { type: 'connect', addresses });
        } else if (message.type === 'result') result = message.outcome;
        else if (message.type === 'failed') fail(message.message);
        else if (++numDone === numNodes && result !== undefined) resolve(result);
      });
      const task: NodeTask = { runId, node, numNodes, workersPerNode, ringBytes: 1 << 19, cases };
      tell(child, { type: 'task', task });
    });
  });
  try {
    return await outcome;
  } finally {
    clearTimeout(timer);
    for (const child of nodes) if (child.connected) child.disconnect();
    await Promise.all(ended);
  }
}

function tell(child: ChildProcess, message: ToNode): void {
  child.send(message, () => undefined);
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()));
}
