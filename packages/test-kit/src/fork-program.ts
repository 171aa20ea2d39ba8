import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnable } from 'locmoe/internal/os/start-thread';

/**
 * Returns the path of the program `name` beside the module at `url`, with the same extension: .ts from
 * sources, .js from the build.
 */
export function programBeside(url: string, name: string): string {
  const file = fileURLToPath(url);
  return path.join(path.dirname(file), `${name}${path.extname(file)}`);
}

/**
 * Forks a program in a process group of its own. Ctrl-C in a terminal, which could otherwise reach the
 * program before it listens for signals, reaches only this process, and the program ends when the channel
 * closes.
 *
 * @param env added to the environment of this process
 */
export function forkProgram(program: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  return fork(runnable(program), {
    execArgv: [],
    detached: true,
    serialization: 'advanced',
    env: { ...process.env, ...env },
  });
}

/**
 * Resolves once a process has exited and all its messages have arrived; Node emits `exit` before the last of
 * them.
 */
export function endOf(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  const drained = child.connected ? once(child, 'disconnect') : Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => void drained.then(() => resolve({ code, signal })));
  });
}

/** Grace period before SIGKILL. */
const GRACE_MS = 5000;

/** Ends a process by closing its channel, or by SIGKILL after a grace period. Resolves once it is gone. */
export async function endProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  if (child.connected) child.disconnect();
  await gone;
  clearTimeout(timer);
}
