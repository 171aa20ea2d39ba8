import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { removeStaleSegments } from '../collectives/segment-files.js';
import type { RunConfig } from '../config/schema.js';
import { GRACE } from '../config/timeouts.js';
import { endUnknown, type ProcessEnd } from '../coordinator/root-cause.js';
import type { Nodes } from '../coordinator/run-launch.js';

const CLI = fileURLToPath(new URL('./cli.js', import.meta.url));

interface LocalClusterOptions {
  readonly nodes: number;
  readonly address: string;
  /** File that holds the run's token. */
  readonly tokenFile: string;
  readonly logsDir: string;
  /** Called for each agent that ends badly. */
  readonly onFailure: (pid: number, end: ProcessEnd) => void;
  /** Further options of `locmoe node`. */
  readonly more: readonly string[];
}

/**
 * The nodes of a run on this machine.
 *
 * @param address of the coordinator, which is this process
 * @param more further options of `locmoe node`
 */
export function localNodes(
  { cluster: { nodes } }: RunConfig,
  address: string,
  more: readonly string[],
): Nodes {
  let cluster: LocalCluster | null = null;
  return {
    areReplaceable: false,
    joinTimeoutMs: GRACE.ownAgentsMs,
    start(leader, { logs: logsDir, token: tokenFile }) {
      const onFailure = (pid: number, end: ProcessEnd) => leader.current.agentEnded(pid, end);
      cluster = new LocalCluster({ nodes, address, tokenFile, logsDir, onFailure, more });
    },
    restart: (present) => cluster?.restart(present),
    end: async (_, graceMs) => cluster?.end(graceMs),
  };
}

/** Node agents of a run on this machine, as child processes. */
class LocalCluster {
  readonly #children: ChildProcess[] = [];

  constructor(private readonly options: LocalClusterOptions) {
    for (let index = 0; index < options.nodes; index++) this.#children.push(this.#spawn(index));
  }

  /** Replaces all agents whose pids are not among `present`; kills those that do not answer. */
  restart(present: readonly number[]): void {
    for (const [index, child] of this.#children.entries()) {
      if (isAlive(child) && present.includes(child.pid ?? 0)) continue;
      child.removeAllListeners('exit');
      child.kill('SIGKILL');
      this.#children[index] = this.#spawn(index);
    }
    removeStaleSegments();
  }

  #spawn(index: number): ChildProcess {
    const { address, tokenFile, logsDir, onFailure, more } = this.options;
    const errors = path.join(logsDir, `agent-${index}.stderr`);
    const fd = openSync(errors, 'a');
    const { size } = fstatSync(fd);
    const own = ['--coordinator', address, '--token-file', tokenFile];
    const args = ['node', ...own, '--quiet', '--exit-with-parent', String(process.pid), ...more];
    const child = spawn(process.execPath, [CLI, ...args], {
      stdio: ['ignore', 'ignore', fd],
      // A process group of its own keeps Ctrl-C in a terminal to the coordinator alone.
      detached: true,
      // All traffic stays on loopback in plain text, whatever the environment says for other runs.
      env: { ...process.env, LOCMOE_TLS_DIR: '' },
    });
    closeSync(fd);
    child.on('error', (error) =>
      onFailure(child.pid ?? 0, endUnknown(`could not be started: ${error.message}`)),
    );
    child.on('exit', (code, signal) => {
      if (code !== 0)
        onFailure(child.pid ?? 0, {
          how: describeExit(code, signal, firstLine(errors, size)),
          exitCode: code,
          signal,
        });
    });
    return child;
  }

  /** Waits up to `graceMs` for the agents to leave, then kills those that remain. */
  async end(graceMs: number): Promise<void> {
    const timer = setTimeout(() => {
      for (const child of this.#children) child.kill('SIGKILL');
    }, graceMs);
    await Promise.all(
      this.#children.map((child) => !isAlive(child) || new Promise((resolve) => child.once('exit', resolve))),
    );
    clearTimeout(timer);
    // An agent killed before its workers had attached could not remove its segment.
    removeStaleSegments();
  }
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}

function describeExit(code: number | null, signal: NodeJS.Signals | null, words: string): string {
  const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`;
  return words === '' ? how : `${how} (${words})`;
}

/**
 * Returns the first line that a crashed process wrote, which gives its reason; earlier generations wrote up to `from`.
 */
function firstLine(file: string, from: number): string {
  try {
    return (
      readFileSync(file)
        .subarray(from)
        .toString()
        .split('\n')
        .find((line) => line.trim() !== '')
        ?.trim() ?? ''
    );
  } catch {
    return '';
  }
}
