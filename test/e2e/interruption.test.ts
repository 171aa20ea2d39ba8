import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import { locmoe, newestRun, startTraining, temporaryFolder } from './support.js';

const LONG = ['train.steps=100000'];
const ONE = { nodes: 1, workersPerNode: 1 };

describe('Ctrl-C', () => {
  it.each(NIGHTLY ? [0, 1200] : [0])(
    '%i ms after the start still ends in order, with a checkpoint',
    async (delayMs) => {
      const run = startTraining({ folder: temporaryFolder(), nodes: 2, workersPerNode: 1, sets: LONG });
      await run.until(/starting the workers/);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      run.interrupt();
      const { code, stdout, stderr } = await run.finished;
      expect(code, stdout + stderr).toBe(130);
      expect(stdout).toMatch(/checkpoint at step 1:/);
      await run.expectNothingLeft();
    },
  );

  it('twice ends at once, in one line that says so', async () => {
    const run = startTraining({ folder: temporaryFolder(), ...ONE, sets: LONG });
    await run.until(/starting the workers/);
    run.interrupt();
    await run.until(/SIGINT: finishing/);
    run.interrupt();
    const { code, stderr } = await run.finished;
    expect(code).toBe(3);
    expect(stderr).toMatch(/^locmoe: run failed: SIGINT twice: ended without a final checkpoint$/m);
    await run.expectNothingLeft();
  });
});

describe('a run that is stopped', () => {
  it.each(['SIGINT', 'locmoe stop'])('says everywhere that it was, by %s', async (by) => {
    const folder = temporaryFolder();
    const runs = ['--runs-dir', path.join(folder, 'runs')];
    const run = startTraining({ folder, ...ONE, sets: LONG });
    await run.until(/step +\d+\/100000/);
    if (by === 'SIGINT') run.interrupt();
    else expect((await locmoe('stop', ...runs)).stdout).toMatch(/^asked the coordinator/);
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(130);
    const [, end] = /^stopped in .*: the run (was stopped by .* at step \d+ of 100000)$/m.exec(stdout) ?? [];
    expect(end, stdout).toContain(by);
    expect(stdout).toMatch(/^not validated at the stop: \S+cli\.js eval --checkpoint \S+$/m);
    expect(stdout).toMatch(/^next\n {2}\S+cli\.js train --resume \S+$/m);
    const directory = newestRun(folder);
    const read = (name: string) => JSON.parse(readFileSync(path.join(directory, name), 'utf8'));
    expect(read('run.json')).toMatchObject({ stopped: by });
    expect(read('summary.json')).toMatchObject({ end });
    const status = await locmoe('status', ...runs);
    expect(status.code, status.stderr).toBe(0);
    expect(status.stdout).toMatch(new RegExp(`: stopped by ${by}\n`));
    expect(status.stdout).toMatch(/^ {2}resume: \S+cli\.js train --resume \S+/m);
  });
});

describe('a preparation of data', () => {
  it.each(NIGHTLY ? (['SIGINT', 'SIGTERM'] as const) : (['SIGTERM'] as const))(
    'that %s ends leaves nothing of it behind',
    async (signal) => {
      const folder = temporaryFolder();
      const dataDir = path.join(folder, 'data');
      const run = startTraining({ folder, ...ONE, dataDir });
      await run.until(/data: preparing/);
      const deadline = performance.now() + 120_000;
      while (readdirSync(dataDir).length === 0 && performance.now() < deadline) await setImmediate();
      const [unfinished] = readdirSync(dataDir);
      expect(unfinished).toMatch(/^[0-9a-f]{16}\.tmp-/);
      // A container that shares the volume may have a process with the same id.
      const others = unfinished.replace(/[0-9a-f-]{36}$/, randomUUID());
      mkdirSync(path.join(dataDir, others));
      run.child.kill(signal);
      const { code, stdout, stderr } = await run.finished;
      expect(code, stdout + stderr).toBe(130);
      expect(stderr).toBe(`locmoe: ${signal}: ended while the data were prepared\n`);
      expect(readdirSync(dataDir)).toEqual([others]);
      await run.expectNothingLeft();
    },
  );
});

describe('a run goes on', () => {
  it('when nobody reads its output any more', async () => {
    const run = startTraining({ folder: temporaryFolder(), ...ONE });
    await run.until(/starting the workers/);
    run.child.stdout!.destroy();
    const { code, stderr } = await run.finished;
    expect(code, stderr).toBe(0);
    await run.expectNothingLeft();
  });
});

describe('a run that cannot be recorded any more', () => {
  it('ends with one line that names the file', async () => {
    const folder = temporaryFolder();
    const run = startTraining({ folder, ...ONE, sets: LONG });
    await run.until(/step +\d+\/100000/);
    const directory = newestRun(folder);
    rmSync(directory, { recursive: true });
    const { code, stderr } = await run.finished;
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(new RegExp(`^locmoe: run failed: .*ENOENT.*${directory}/metrics\\.ndjson`, 'm'));
    expect(stderr).not.toMatch(/\n\s+at /);
    await run.expectNothingLeft();
  });
});
