import { readdirSync } from 'node:fs';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import {
  Locmoe,
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  type TrainArguments,
  temporaryFolder,
  trainArguments,
  trainToTheEnd,
} from './support.js';

const SETS = ['train.steps=60', 'train.checkpointEvery=20', 'cluster.maxRestarts=3'];

let faultFree: Promise<Map<number, number>> | undefined;
/** The losses of the run without a failure. */
function expectedCurve(): Promise<Map<number, number>> {
  faultFree ??= trainToTheEnd({ folder: temporaryFolder(), nodes: 2, workersPerNode: 1, sets: SETS }).then(
    lossCurve,
  );
  return faultFree;
}

function start(options: Partial<TrainArguments> = {}): { run: Locmoe; folder: string } {
  const folder = temporaryFolder();
  return { folder, run: startTraining({ folder, nodes: 2, workersPerNode: 1, sets: SETS, ...options }) };
}

/** Its journal's events of one type. */
function journalOf(folder: string, type: string) {
  return readJournal(path.join(newestRun(folder), 'journal.ndjson')).filter((entry) => entry.type === type);
}

describe('a run goes on by itself, to the same loss at every step, after', () => {
  it.each([
    [
      'a worker was killed',
      'worker',
      'SIGKILL',
      /rank \d, node \d, .*killed by SIGKILL; restarting \(2 restarts left\)/,
    ],
    ['a node agent was killed', 'agent', 'SIGKILL', /node \d.* was killed by SIGKILL; restarting/],
    ['a node agent was stopped', 'agent', 'SIGSTOP', /node \d.* it is stopped \(SIGSTOP\); restarting/],
  ] as const)('%s', async (_what, kind, signal, why) => {
    const { run, folder } = start();
    await run.until(/checkpoint at step 20:/);
    process.kill(run.pidsOf(kind)[1], signal);
    await run.until(why);
    await run.until(/recovered: detected in \d+\.\d s, restarted in \d+\.\d s, (no|\d+) steps? .*done again/);
    const { code, stdout } = await run.finished;
    expect(code, stdout).toBe(0);
    expect(lossCurve(newestRun(folder))).toEqual(await expectedCurve());
    expect(journalOf(folder, 'generation')).toMatchObject([
      { generation: 1, from: { kind: 'nothing', step: 0 } },
      { generation: 2, from: { kind: 'checkpoint' } },
    ]);
    expect(journalOf(folder, 'end')).toMatchObject([{ state: 'finished', exitCode: 0 }]);
    await run.expectNothingLeft();
  });

  it('a worker was killed before the first checkpoint, from the beginning', async () => {
    const { run, folder } = start();
    await run.until(/step +1\//);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    const { code, stdout } = await run.finished;
    expect(code, stdout).toBe(0);
    expect(lossCurve(newestRun(folder))).toEqual(await expectedCurve());
  });
});

it('a run that began with the weights of another does not go back to them', async () => {
  const one = { nodes: 1, workersPerNode: 1, folder: temporaryFolder() };
  const init = await trainToTheEnd({ ...one, sets: ['train.steps=5'] });
  const curves = [];
  for (const fail of ['', 'step.begun:8:kill:generation=1']) {
    const folder = temporaryFolder();
    const sets = ['train.steps=12', 'train.checkpointEvery=4', 'cluster.maxRestarts=1'];
    const args = trainArguments({ ...one, folder, sets, more: ['--init', init] });
    const { code, stdout } = await new Locmoe(args, { LOCMOE_FAIL: fail }).finished;
    expect([code, stdout.includes('recovered')], stdout).toEqual([0, fail !== '']);
    curves.push(lossCurve(newestRun(folder)));
  }
  expect(curves[1]).toEqual(curves[0]);
});

describe('a run ends', () => {
  it('with 3 when its restarts are used up, and says so', async () => {
    const { run, folder } = start({ sets: ['train.steps=100000', 'cluster.maxRestarts=1'] });
    await run.until(/step +1\//);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    await run.until(/recovered: .*\n[\s\S]*step +\d+\//);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    const { code, stderr } = await run.finished;
    expect(code).toBe(3);
    expect(stderr).toMatch(/not restarted: 1 restart within 3600 s are used up \(cluster\.maxRestarts/);
    const status = await locmoe('status', '--run', newestRun(folder));
    expect(status.stdout).toMatch(
      /^generations \(1 restart, \d+s lost in all\)\n {2}1: 2 x 1 from the beginning, /m,
    );
    expect(status.stdout).toMatch(
      /restarted: rank \d, .*SIGKILL\n {2}2: .*failed: rank \d, .*\n {5}detected in/,
    );
    expect(readdirSync(newestRun(folder))).toEqual(
      expect.arrayContaining(['failure.json', 'failure-1.json']),
    );
    await run.expectNothingLeft();
  });

  it('as asked when the signal comes while it restarts', async () => {
    const { run } = start({ sets: ['train.steps=100000', 'cluster.maxRestarts=1'] });
    await run.until(/step +1\//);
    process.kill(run.pidsOf('agent')[0], 'SIGKILL');
    await run.until(/restarting/);
    run.interrupt();
    const { code, stdout } = await run.finished;
    expect(code, stdout).toBe(130);
    expect(stdout).toMatch(/checkpoint at step 1:/);
    await run.expectNothingLeft();
  });
});
