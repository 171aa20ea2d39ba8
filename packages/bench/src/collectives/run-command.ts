import { spawn } from 'node:child_process';

export interface CommandOptions {
  readonly args: readonly string[];
  readonly env?: Readonly<NodeJS.ProcessEnv>;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

const GRACE_MS = 5000;

/**
 * Runs a command and returns its standard output. The command gets a process group of its own, so that Ctrl-C
 * does not reach it; on abort or at the deadline the group gets SIGTERM, then SIGKILL.
 *
 * @throws Error with the end of its error output if it fails, is stopped or cannot start
 */
export async function runCommand(command: string, options: CommandOptions): Promise<string> {
  const { args, env, deadlineMs, signal } = options;
  signal.throwIfAborted();
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  const until = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]);
  let grace: NodeJS.Timeout | undefined;
  const stop = () => {
    killGroup(child.pid, 'SIGTERM');
    grace = setTimeout(() => killGroup(child.pid, 'SIGKILL'), GRACE_MS);
  };
  until.addEventListener('abort', stop);
  // If this process exits early, no other process would end the group.
  const atExit = () => killGroup(child.pid, 'SIGKILL');
  process.once('exit', atExit);
  try {
    const code = await new Promise<number | null>((resolve, reject) =>
      child.once('error', reject).once('close', resolve),
    );
    signal.throwIfAborted();
    if (code === 0) return printed.stdout;
    const why = until.aborted ? `no end within ${deadlineMs / 1000} s` : `code ${code}`;
    throw new Error(`${command} failed (${why}): ${lastLines(printed.stderr || printed.stdout)}`);
  } finally {
    clearTimeout(grace);
    until.removeEventListener('abort', stop);
    process.removeListener('exit', atExit);
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // The group has already ended.
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ').slice(-400);
}
