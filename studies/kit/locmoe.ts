import { type ChildProcess, spawn } from 'node:child_process';
import { builtCommand } from '../../packages/bench/src/training.js';

/** Output of a process is kept for patterns that match over several lines, and for the error if none does. */
const KEPT_CHARACTERS = 20_000;
const START_TIMEOUT_MS = 180_000;

interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly errors?: 'inherit' | 'ignore' | 'pipe';
  /** Kills it after so long. */
  readonly timeoutMs?: number;
}

/** Starts the built `locmoe`. Ctrl-C in a terminal reaches it too; whoever starts it ends it. */
export function startLocmoe(
  args: readonly string[],
  { env = {}, errors = 'inherit', timeoutMs }: StartOptions = {},
): ChildProcess {
  return spawn(process.execPath, [builtCommand(), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', errors],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
}

/**
 * Waits until the output of a process matches; further output is read and discarded.
 *
 * @param what ends the sentence "the process never said ..."
 * @throws Error with what it said, if it ends or takes too long
 */
export function untilSaid(child: ChildProcess, pattern: RegExp, what: string): Promise<RegExpExecArray> {
  let said = '';
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error(`the process never said ${what}:\n${said}`));
    const timer = setTimeout(fail, START_TIMEOUT_MS);
    child.stdout?.on('data', (chunk) => {
      said = (said + chunk).slice(-KEPT_CHARACTERS);
      const match = pattern.exec(said);
      if (match === null) return;
      clearTimeout(timer);
      resolve(match);
    });
    child.once('close', () => {
      clearTimeout(timer);
      fail();
    });
  });
}

/** @throws Error if the process ends otherwise than with one of these exit codes */
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
