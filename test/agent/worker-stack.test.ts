import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { stackOf, type WorkerStack } from '../../src/agent/worker-stack.js';
import { processInfo } from '../../src/os/process-info.js';
import { runnable } from '../../src/os/start-thread.js';
import { STACK_FD } from '../../src/worker/stack-answer.js';
import { numListening } from '../listening-ports.js';
import { until } from './support.js';

const PROGRAM = fileURLToPath(new URL('./stuck.program.ts', import.meta.url));
let child: ChildProcess;

afterEach(() => child.kill('SIGKILL'));

/** Starts a worker that runs `code`; returns a function that asks for its stack. */
async function stuckIn(code: string): Promise<(timeoutMs: number) => Promise<WorkerStack>> {
  child = spawn(process.execPath, [runnable(PROGRAM), code], {
    stdio: ['pipe', 'pipe', 'inherit', 'ignore', 'pipe'],
  });
  let said = '';
  child.stdout!.on('data', (chunk) => {
    said += chunk;
  });
  await until(() => said === 'begun');
  return (timeoutMs) => stackOf(child.pid!, child.stdio[STACK_FD] as Duplex, timeoutMs);
}

describe('a stuck worker', () => {
  it('in an endless loop shows its functions, innermost first, as often as it is asked', async () => {
    const ask = await stuckIn('function inner() { for (;;) ; } function outer() { inner(); } outer();');
    for (let i = 0; i < 2; i++) {
      const { where, frames } = await ask(5_000);
      expect(where).toMatch(/^in inner \(.*:1:\d+\)$/);
      expect(frames.slice(0, 2)).toEqual([
        expect.stringMatching(/^inner \(/),
        expect.stringMatching(/^outer \(/),
      ]);
    }
  });

  it('listens on no port while it is asked, nor after SIGUSR1', async () => {
    const ask = await stuckIn('for (;;) ;');
    let mostPorts = 0;
    const watch = setInterval(() => {
      mostPorts = Math.max(mostPorts, numListening(child.pid!));
    }, 1);
    await ask(5_000);
    child.kill('SIGUSR1');
    // Node's own handler listens within 50 ms.
    await sleep(500);
    clearInterval(watch);
    expect(mostPorts).toBe(0);
  });

  it('that waits for what never comes is idle', async () => {
    const ask = await stuckIn('process.stdin.resume();');
    expect(await ask(5_000)).toEqual({
      where: 'idle in its event loop, where no JavaScript runs',
      frames: [],
    });
  });

  it('in native code is left to the kernel, within the deadline', async () => {
    const ask = await stuckIn(
      "process.getBuiltinModule('node:child_process').spawnSync('cat', { stdio: 'inherit' });",
    );
    const { where, frames } = await ask(300);
    expect(where).toMatch(/^not in JavaScript, or too slow to say: state [SR]/);
    expect(frames).toEqual([]);
  });

  it('that is stopped is asked nothing', async () => {
    const ask = await stuckIn('process.stdin.resume();');
    child.kill('SIGSTOP');
    await until(() => processInfo(child.pid!).state === 'T');
    expect((await ask(5_000)).where).toBe('still stopped');
  });

  it('that has ended meanwhile is no error', async () => {
    const ask = await stuckIn('process.exit(0)');
    await until(() => child.exitCode !== null);
    expect((await ask(200)).where).toBe('nowhere to be seen: its process has ended');
  });
});
