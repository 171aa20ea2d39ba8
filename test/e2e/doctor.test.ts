import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { workMark } from '../../src/os/work-folder.js';
import { NIGHTLY } from '../nightly.js';
import { CLI, DATA_DIR, Locmoe, MICRO, temporaryFolder } from './support.js';

/** Runs a command with a limit of 512 open files per process. */
const FEW_FILES = ['sh', '-c', 'ulimit -n 512; exec "$@"', 'sh', process.execPath, CLI];

/** Files of this `doctor` only, since other test files run one too. */
const leftovers = ({ child }: Locmoe) =>
  [tmpdir(), '/dev/shm', DATA_DIR]
    .filter(existsSync)
    .flatMap((folder) => readdirSync(folder))
    .filter((name) => new RegExp(`doctor-(?:[0-9a-f]{16}-)?${child.pid}\\b`).test(name));

function micro(): readonly [folder: string, file: string] {
  const folder = temporaryFolder();
  const file = path.join(folder, 'micro.yaml');
  writeFileSync(file, MICRO);
  return [folder, file];
}

/** Starts a doctor of a configuration on one node. */
function startTrial(file: string, workers: number, ...more: readonly string[]): Locmoe {
  const size = ['--nodes', '1', '--workers-per-node', String(workers)];
  return new Locmoe(['doctor', '--config', file, '--data-dir', DATA_DIR, ...size, ...more]);
}

describe('locmoe doctor', () => {
  // documented-commands.test.ts checks that it finds nothing wrong here.
  it('says what to do about what it finds, and ends with 1', async () => {
    const run = new Locmoe(['doctor'], {}, FEW_FILES);
    const { code, stdout } = await run.finished;
    expect(code).toBe(1);
    expect(stdout).toMatch(/^BAD {3}open files +512\n +-> raise the limit: ulimit -n 1024$/m);
    expect(stdout).toMatch(/^ok {4}tensorflow +1\.15\.0 computes, \/.*tfjs_binding\.node$/m);
    expect(stdout).toMatch(/^ok {4}shared memory .*, maps$/m);
    expect(leftovers(run)).toEqual([]);
  });

  it('tries a configuration in its layout and in one process', async () => {
    const [folder, file] = micro();
    // The folder of a killed trial: Linux gives no process an id this large.
    const killed = path.join(DATA_DIR, `.doctor-${workMark().replace(`-${process.pid}-`, '-4194305-')}`);
    mkdirSync(path.join(killed, 'runs'), { recursive: true });
    // Layouts are compared in float32, also where the processor multiplies bfloat16.
    const run = startTrial(file, 2, '--json', '--set', 'train.precision=auto');
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(0);
    const { findings, trial } = JSON.parse(stdout);
    expect(findings.map(({ state }: { state: string }) => state)).not.toContain('bad');
    expect(trial).toMatchObject({ layout: '1x2', processes: 4, numSteps: 30 });
    expect(trial.difference.gradient).toBeGreaterThan(0);
    expect(trial.difference.gradient).toBeLessThan(1e-5);
    expect(trial.wholeRunS).toBeCloseTo((30 * trial.stepMs) / 1000);
    await run.expectNothingLeft();
    expect(leftovers(run)).toEqual([]);
    expect(existsSync(killed)).toBe(false);
    expect(readdirSync(folder)).toEqual(['micro.yaml']);
  });

  /** Starts a trial in one process and waits until its worker has begun. */
  async function begun(): Promise<Locmoe> {
    const run = startTrial(micro()[1], 1);
    await run.until(/training 6 steps on 1x1/);
    await expect.poll(() => run.pidsOf('worker').length).toBe(1);
    return run;
  }

  it('ends at a signal and leaves nothing', async () => {
    const run = await begun();
    run.child.kill('SIGHUP');
    expect((await run.finished).code, run.output).toBe(130);
    await run.expectNothingLeft();
    expect(leftovers(run)).toEqual([]);
  });

  // By day failure.test.ts tests how a training fails.
  it.runIf(NIGHTLY)('ends like a training that fails', async () => {
    const run = await begun();
    process.kill(run.pidsOf('worker')[0]!, 'SIGKILL');
    const { code, stderr } = await run.finished;
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/^locmoe: run failed: .*\n {2}culprit: rank 0 .*, killed by SIGKILL\n/);
    expect(stderr).not.toMatch(/resume|logs/);
    expect(leftovers(run)).toEqual([]);
  });
});
