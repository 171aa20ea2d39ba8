import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type Finished, newestRun, startTraining, temporaryFolder, UNHURRIED } from './support.js';

const HOOK = fileURLToPath(new URL('./throw-on-signal.mjs', import.meta.url));

const EVERY = 5;

/** Trains until the coordinator throws. */
async function crash(throws: string): Promise<Finished & { readonly directory: string }> {
  const folder = temporaryFolder();
  const sets = ['train.steps=100000', `train.checkpointEvery=${EVERY}`];
  const env = { ...UNHURRIED, NODE_OPTIONS: `--import ${HOOK}`, LOCMOE_TEST_THROWS: throws };
  const run = startTraining({ folder, nodes: 1, workersPerNode: 1, sets, env });
  await run.until(/checkpoint at step/);
  run.child.kill('SIGUSR2');
  const finished = await run.finished;
  await run.expectNothingLeft();
  return { ...finished, directory: newestRun(folder) };
}

const json = (directory: string, name: string) =>
  JSON.parse(readFileSync(path.join(directory, name), 'utf8'));

describe('an error in the coordinator that nobody caught', () => {
  it('fails the run after a last checkpoint, with a report that says how to go on', async () => {
    const { code, stdout, stderr, directory } = await crash('rejection');
    expect(code, stderr).toBe(3);
    const last = /unexpected error in the coordinator[\s\S]*checkpoint at step \d+: (\S+)\n$/.exec(stdout);
    expect(last, stdout).not.toBeNull();
    expect(stderr).toMatch(
      /^locmoe: run failed: unexpected error in the coordinator: nobody caught this \(at .*throw-on-signal/m,
    );
    expect(stderr).toContain(`cli.js train --resume ${directory}`);
    expect(stderr).toContain(`# from ${path.basename(last?.[1] ?? '')}`);
    expect(json(directory, 'failure.json')).toMatchObject({ code: 'INTERNAL', checkpoint: last?.[1] });
    expect(json(directory, 'run.json').state).toBe('failed');
    const log = readFileSync(path.join(directory, 'logs/coordinator.ndjson'), 'utf8');
    expect(log).toMatch(/"level":"error".*"stack":"Error: nobody caught this\\n/);
  });

  it('ends the run at once the second time', async () => {
    const { code, stderr, directory } = await crash('2');
    expect(code, stderr).toBe(3);
    const { code: why, checkpoint } = json(directory, 'failure.json');
    expect(why).toBe('INTERNAL');
    expect(Number(/step-(\d+)$/.exec(checkpoint)?.[1]) % EVERY).toBe(0);
    expect(stderr).toContain(`# from ${path.basename(checkpoint)}`);
    expect(json(directory, 'run.json').state).toBe('failed');
  });
});
