import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { EXIT, TrainerError } from 'locmoe/errors';
import { findRun, type RunFolder } from 'locmoe/run/run-folder';

/** As it was compiled, also for a bench that runs from its sources. */
const CLI = createRequire(import.meta.url).resolve('locmoe/cli/cli');

export interface TrainingOptions {
  /** Recipe or file. */
  readonly config: string;
  readonly sets: readonly string[];
  /** Emptied first; holds the run and what it printed. */
  readonly folder: string;
  readonly dataDir: string;
  /** On top of this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Is told the process of the command once it runs. */
  readonly onStart?: (pid: number) => void;
}

/**
 * Trains with `locmoe train` in processes of its own and waits for the end. SIGINT and SIGTERM are passed on.
 *
 * @returns the run's folder; null if a signal stopped it before its last step
 * @throws TrainerError `INTERNAL` if the training failed, with the last line that it printed
 */
export async function runTraining({
  config,
  sets,
  folder,
  dataDir,
  env = {},
  onStart = () => undefined,
}: TrainingOptions): Promise<RunFolder | null> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const output = path.join(folder, 'output.txt');
  const args = [
    ...['train', '--config', config, '--runs-dir', folder, '--data-dir', dataDir, '--no-samples'],
    ...sets.flatMap((set) => ['--set', set]),
  ];
  const code = await exitCode(args, output, env, onStart);
  if (code === EXIT.interrupted || code === 'signal') return null;
  if (code !== EXIT.done)
    throw new TrainerError(
      'INTERNAL',
      `locmoe ${args.join(' ')} ended with code ${code}: ${lastLine(output)}`,
    );
  return findRun(folder).folder;
}

/**
 * In a process group of its own, so that Ctrl-C reaches it once: a second signal would cut off its last step.
 *
 * @returns `signal` if one that was passed on ended it before it could listen to any
 */
async function exitCode(
  args: readonly string[],
  output: string,
  env: Readonly<Record<string, string>>,
  onStart: (pid: number) => void,
): Promise<number | null | 'signal'> {
  const fd = openSync(output, 'w');
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', fd, fd],
    detached: true,
    env: { ...process.env, ...env },
  });
  closeSync(fd);
  if (child.pid !== undefined) onStart(child.pid);
  let forwarded = false;
  const forward = (signal: NodeJS.Signals) => {
    forwarded = true;
    child.kill(signal);
  };
  process.on('SIGINT', forward).on('SIGTERM', forward);
  try {
    const code = await new Promise<number | null>((resolve, reject) =>
      child.on('error', reject).on('exit', resolve),
    );
    return code === null && forwarded ? 'signal' : code;
  } finally {
    process.off('SIGINT', forward).off('SIGTERM', forward);
  }
}

function lastLine(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';
}
