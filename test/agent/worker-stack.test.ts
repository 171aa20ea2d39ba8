import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { INSPECTOR_OPTION, StackProbe } from '../../src/agent/worker-stack.js';
import { processInfo } from '../../src/os/process-info.js';
import { until } from './support.js';

let child: ChildProcess;
let other: string[];

afterEach(() => child.kill('SIGKILL'));

/** A process that has begun to run `code`; its probe gets its standard error. */
async function probeOf(code: string): Promise<StackProbe> {
  const program = `process.stdout.write('begun', () => { ${code} })`;
  child = spawn(process.execPath, [INSPECTOR_OPTION, '--eval', program], { stdio: ['pipe', 'pipe', 'pipe'] });
  const probe = new StackProbe(child.pid!);
  other = [];
  child.stderr!.on('data', (chunk) =>
    other.push(...`${chunk}`.split('\n').filter((line) => line !== '' && !probe.takeLine(line))),
  );
  let said = '';
  child.stdout!.on('data', (chunk) => {
    said += chunk;
  });
  await until(() => said === 'begun');
  return probe;
}

describe('a stuck worker', () => {
  it('in an endless loop shows its functions, innermost first', async () => {
    const probe = await probeOf('function inner() { for (;;) ; } function outer() { inner(); } outer();');
    const { where, frames } = await probe.read(5_000);
    expect(where).toMatch(/^in inner \(.*:1:\d+\)$/);
    expect(frames.slice(0, 2)).toEqual([
      expect.stringMatching(/^inner \(/),
      expect.stringMatching(/^outer \(/),
    ]);
    expect(other).toEqual([]);
  });

  it('that waits for what never comes is idle', async () => {
    const probe = await probeOf('process.stdin.resume();');
    expect(await probe.read(5_000)).toEqual({
      where: 'idle in its event loop, where no JavaScript runs',
      frames: [],
    });
  });

  it('in native code is left to the kernel, within the deadline', async () => {
    const probe = await probeOf("require('node:child_process').spawnSync('cat', { stdio: 'inherit' });");
    const started = performance.now();
    const { where, frames } = await probe.read(300);
    expect(performance.now() - started).toBeLessThan(1_500);
    expect(where).toMatch(/^not in JavaScript, or too slow to say: state [SR]/);
    expect(frames).toEqual([]);
  });

  it('that is stopped is asked nothing', async () => {
    const probe = await probeOf('process.stdin.resume();');
    child.kill('SIGSTOP');
    await until(() => processInfo(child.pid!).state === 'T');
    expect((await probe.read(5_000)).where).toBe('still stopped');
  });

  it('that has ended meanwhile is no error', async () => {
    const probe = await probeOf('process.exit(0)');
    await until(() => child.exitCode !== null);
    expect((await probe.read(200)).where).toMatch(/^nowhere to be seen: kill ESRCH/);
  });
});
