import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));

/** Node agents of a run on this machine, as child processes. */
export class LocalCluster {
  readonly #children: ChildProcess[] = [];

  /**
   * Starts `nodes` agents that join the coordinator at `address`. `onExit` is told of each agent that ends, with the
   * last line it wrote to its error output.
   */
  start(
    nodes: number,
    address: string,
    logsDir: string,
    onExit: (code: number | null, signal: NodeJS.Signals | null, lastWords: string) => void,
  ): void {
    for (let index = 0; index < nodes; index++) {
      const errors = path.join(logsDir, `agent-${index}.stderr`);
      const fd = openSync(errors, 'a');
      const child = spawn(process.execPath, [CLI, 'node', '--coordinator', address, '--quiet'], {
        stdio: ['ignore', 'ignore', fd],
      });
      closeSync(fd);
      child.on('exit', (code, signal) => onExit(code, signal, lastLine(errors)));
      this.#children.push(child);
    }
  }

  /** Waits up to `graceMs` for the agents to leave by themselves, then kills what is left. */
  async end(graceMs: number): Promise<void> {
    const timer = setTimeout(() => {
      for (const child of this.#children) child.kill('SIGKILL');
    }, graceMs);
    await Promise.all(
      this.#children.map(
        (child) =>
          child.exitCode !== null ||
          child.signalCode !== null ||
          new Promise((resolve) => child.once('exit', resolve)),
      ),
    );
    clearTimeout(timer);
  }
}

function lastLine(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}
