import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The program `name` beside the module at `url`: TypeScript if that is, else what was compiled of it. */
export function programBeside(url: string, name: string): string {
  const file = fileURLToPath(url);
  return path.join(path.dirname(file), `${name}${path.extname(file)}`);
}

/**
 * Starts a program in a process of its own, TypeScript by way of tsx.
 *
 * @param env beside the environment of this process
 */
export function forkProgram(program: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const execArgv = program.endsWith('.ts') ? ['--conditions=source', '--import', 'tsx'] : [];
  return fork(program, { execArgv, env: { ...process.env, ...env }, serialization: 'advanced' });
}

/** Resolves once a process has ended and all its messages were received; Node tells of the exit before. */
export function endOf(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  const drained = child.connected ? once(child, 'disconnect') : Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => void drained.then(() => resolve({ code, signal })));
  });
}

/** How long a process that was told to end may take for it. */
const GRACE_MS = 5000;

/** Tells a process to end by closing its channel, and kills it if it does not. Resolves once it is gone. */
export async function endProgram(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  if (child.connected) child.disconnect();
  await gone;
  clearTimeout(timer);
}
