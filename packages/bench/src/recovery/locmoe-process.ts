import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { builtCommand } from '../training.js';

/** Leader of a run: a process, or a supervisor that restarts it. */
export interface Leader {
  readonly isAlive: boolean;
  /** Exit code; null if it was killed. */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** A `locmoe` command as a child process, whose output goes to a file. */
export class LocmoeProcess implements Leader {
  readonly #child: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(
    args: readonly string[],
    readonly output: string,
    env: Readonly<Record<string, string>> = {},
  ) {
    const fd = openSync(output, 'a');
    this.#child = spawn(process.execPath, [builtCommand(), ...args], {
      stdio: ['ignore', fd, fd],
      // A group of its own: Ctrl-C reaches the bench alone, which ends it.
      detached: true,
      env: { ...process.env, ...env },
    });
    closeSync(fd);
    this.exited = once(this.#child, 'exit').then(([code]) => code);
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  get lastLine(): string {
    return readFileSync(this.output, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  }
}
