import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { findRun, type RunFolder } from '@locmoe/run-format';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { tryLock } from 'locmoe/internal/os/libc';
import { interruptible } from 'locmoe/internal/os/on-signals';

export interface TrainingOptions {
  /** Recipe or config file; omitted if `more` has another recipe. */
  readonly config?: string;
  readonly sets: readonly string[];
  /** Emptied first; receives the run folder and the command output. */
  readonly folder: string;
  readonly dataDir: string;
  readonly more?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Called with the child process after it has started. */
  readonly onStart?: (pid: number) => void;
}

/**
 * Runs `locmoe train` in a child process and waits for it. A signal to this process stops the run.
 *
 * @returns the run folder
 * @throws TrainerError `INTERRUPTED` if the run was stopped; `INTERNAL` if it failed, with its last line of
 *   output; `BAD_INPUT` if another process has its run in this folder
 */
export async function runTraining({
  config,
  sets,
  folder,
  dataDir,
  more = [],
  env = {},
  onStart = () => undefined,
}: TrainingOptions): Promise<RunFolder> {
  const release = emptied(folder);
  try {
    const output = path.join(folder, 'output.txt');
    const args = [
      'train',
      ...(config === undefined ? [] : ['--config', config]),
      '--runs-dir',
      folder,
      '--data-dir',
      dataDir,
      '--no-samples',
      // Steps that a restart repeats would count as time of the run.
      ...['cluster.maxRestarts=0', ...sets].flatMap((set) => ['--set', set]),
      ...more,
    ];
    const code = await interruptible('ended during a training', (signal) => {
      // The run is in its own group, so that Ctrl-C reaches it only once: a second signal would abort its
      // last step.
      const run = new LocmoeProcess(args, output, env);
      signal.addEventListener('abort', () => run.kill('SIGINT'));
      if (run.pid !== undefined) onStart(run.pid);
      return run.exited;
    });
    // Something other than this process has stopped the run.
    if (code === EXIT.interrupted)
      throw new TrainerError('INTERRUPTED', `${folder}: the training was stopped`);
    if (code !== EXIT.done)
      throw new TrainerError(
        'INTERNAL',
        `locmoe ${args.join(' ')} ended with code ${code}: ${lastLine(output)}`,
      );
    return findRun(folder).folder;
  } finally {
    release();
  }
}

/** Returns the file of the built `locmoe` command, even if this process runs the sources. */
function builtCommand(): string {
  const command = createRequire(import.meta.url).resolve('locmoe/internal/cli/cli');
  return command.replace(/src(\/cli\/cli)\.ts$/, 'dist$1.js');
}

/**
 * Extends the message of an interruption: the bench keeps its results, so that the same command continues.
 */
export function goesOnFromHere(error: unknown): never {
  if (!(error instanceof TrainerError && error.code === 'INTERRUPTED')) throw error;
  throw new TrainerError('INTERRUPTED', `${error.message}; run the same command again to continue`);
}

/**
 * Empties a folder and locks it for this process.
 *
 * @returns a function that releases the lock before the process ends
 */
function emptied(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const fd = openSync(folder, 'r');
  if (tryLock(fd) === constants.errno.EWOULDBLOCK) {
    closeSync(fd);
    throw new TrainerError(
      'BAD_INPUT',
      `${folder} is the folder of a run that another process has begun: wait for it, or use another --work-dir`,
    );
  }
  for (const entry of readdirSync(folder)) rmSync(path.join(folder, entry), { recursive: true, force: true });
  return () => closeSync(fd);
}

/** The leader of a run: a process, or a supervisor that restarts it. */
export interface Leader {
  readonly isAlive: boolean;
  /** Exit code; null if it was killed. */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** A `locmoe` command as a child process whose output goes to a file. */
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
      // The process is in its own group: Ctrl-C reaches only the bench, which ends it.
      detached: true,
      env: { ...process.env, ...env },
    });
    closeSync(fd);
    this.exited = once(this.#child, 'exit').then(([code]) => code);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

export function lastLine(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}
