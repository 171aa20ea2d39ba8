import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { readLocal } from '../agent/local-snapshot.js';
import {
  localSnapshotFolders,
  removeStaleSegments,
  snapshotFolder,
  takeOverSnapshots,
} from '../collectives/segment-files.js';
import type { RunConfig } from '../config/schema.js';
import { GRACE } from '../config/timeouts.js';
import { endUnknown, type ProcessEnd } from '../coordinator/root-cause.js';
import type { Nodes } from '../coordinator/run-launch.js';
import { CLI } from '../os/command-line.js';

/**
 * Returns the nodes of a run on this machine: node agents as child processes.
 *
 * @param address address of the coordinator, which is this process
 * @param more further options for `locmoe node`
 */
export function localNodes({ cluster }: RunConfig, address: string, more: readonly string[]): Nodes {
  let agents: ChildProcess[] = [];
  const inherited = new Set<string>();
  let startAgent: (index: number) => ChildProcess;
  return {
    areReplaceable: false,
    joinTimeoutMs: GRACE.ownAgentsMs,
    start(leader, { logs, token }) {
      const own = ['--coordinator', address, '--token-file', token, '--quiet'];
      const args = ['node', ...own, '--exit-with-parent', String(process.pid), ...more];
      startAgent = (index) =>
        spawnAgent(args, path.join(logs, `agent-${index}.stderr`), (pid, end) =>
          leader.current.agentEnded(pid, end),
        );
      agents = Array.from({ length: cluster.nodes }, (_, index) => startAgent(index));
    },
    inherit({ node, pid, identity: { runId, config } }) {
      for (const agent of agents) if (agent.pid === pid) kill(agent);
      takeOverSnapshots(runId, node, pid);
      inherited.add(snapshotFolder(runId, node));
      return localSnapshotFolders(snapshotFolder(runId, node)).flatMap(
        (folder) => readLocal(folder, { config, node })?.ref ?? [],
      );
    },
    restart(present) {
      agents = agents.map((agent, index) => {
        if (isAlive(agent) && present.includes(agent.pid ?? 0)) return agent;
        kill(agent);
        return startAgent(index);
      });
      removeStaleSegments();
    },
    async end(_, graceMs) {
      for (const folder of inherited) rmSync(folder, { recursive: true, force: true });
      if (agents.length === 0) return;
      const timer = setTimeout(() => {
        for (const agent of agents) agent.kill('SIGKILL');
      }, graceMs);
      await Promise.all(
        agents.map((agent) => !isAlive(agent) || new Promise((resolve) => agent.once('exit', resolve))),
      );
      clearTimeout(timer);
      // An agent killed before its workers had attached could not remove its segment.
      removeStaleSegments();
    },
  };
}

/** @param onFailure called if the agent fails */
function spawnAgent(
  args: readonly string[],
  errors: string,
  onFailure: (pid: number, end: ProcessEnd) => void,
): ChildProcess {
  const fd = openSync(errors, 'a');
  const { size } = fstatSync(fd);
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'ignore', fd],
    // A separate process group makes Ctrl-C in a terminal reach the coordinator alone.
    detached: true,
    // All traffic stays on loopback in plain text, whatever the environment says for other runs.
    env: { ...process.env, LOCMOE_TLS_DIR: '' },
  });
  closeSync(fd);
  child.on('error', (error) =>
    onFailure(child.pid ?? 0, endUnknown(`could not be started: ${error.message}`)),
  );
  child.on('exit', (exitCode, signal) => {
    if (exitCode === 0) return;
    const how = signal === null ? `ended with code ${exitCode}` : `was killed by ${signal}`;
    const words = firstLine(errors, size);
    onFailure(child.pid ?? 0, { how: words === '' ? how : `${how} (${words})`, exitCode, signal });
  });
  return child;
}

/** Ends an agent whose failure is already known; it may only be stopped, or out of reach. */
function kill(agent: ChildProcess): void {
  agent.removeAllListeners('exit');
  agent.kill('SIGKILL');
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}

/** Returns the first line that a crashed process wrote, which gives its reason; earlier generations wrote up to `from`. */
function firstLine(file: string, from: number): string {
  try {
    const lines = readFileSync(file).subarray(from).toString().split('\n');
    return lines.map((line) => line.trim()).find((line) => line !== '') ?? '';
  } catch {
    return '';
  }
}
