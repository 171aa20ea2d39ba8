import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cpuSecondsOf } from 'locmoe/internal/os/process-info';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TIMEOUT_MS = 300_000;

/** Starts the built `locmoe`. It is killed if it takes too long. */
export function locmoe(args: readonly string[], errors: 'inherit' | 'ignore'): ChildProcess {
  return spawn(process.execPath, ['dist/cli/cli.js', ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', errors],
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
}

/** Where a run is served over HTTP, and by which header it answers. */
export interface RunHttp {
  readonly address: string;
  readonly headers: { readonly authorization: string };
}

/** From the address of the page in the output of the run; further output is read and discarded. */
export function httpOf(run: ChildProcess): Promise<RunHttp> {
  let said = '';
  return new Promise((resolve, reject) => {
    run.stdout?.on('data', (chunk) => {
      said = (said + chunk).slice(-2_000);
      const [, address, token] = /page: http:\/\/([^\s/]+)\/\?token=([^#]+)#/.exec(said) ?? [];
      if (address !== undefined) resolve({ address, headers: { authorization: `Bearer ${token}` } });
    });
    run.once('close', () => reject(new Error(`the training never said its HTTP address:\n${said}`)));
  });
}

/** @throws Error if it ends otherwise than with one of these exit codes */
export function endOf(child: ChildProcess, what: string, codes: readonly number[] = [0]): Promise<void> {
  child.stdout?.resume();
  return new Promise((resolve, reject) => {
    const check = (code: number | null) => {
      if (code !== null && codes.includes(code)) resolve();
      else reject(new Error(`${what} ended with ${code ?? child.signalCode}`));
    };
    if (child.exitCode !== null || child.signalCode !== null) check(child.exitCode);
    else child.once('close', check);
  });
}

/** Processor time of processes; those that have ended count for nothing. */
export function cpuSecondsOfAll(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + secondsOf(pid), 0);
}

function secondsOf(pid: number): number {
  try {
    return cpuSecondsOf(pid);
  } catch {
    return 0;
  }
}
