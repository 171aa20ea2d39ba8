import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Locmoe,
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  trainArguments,
  trainToTheEnd,
  UNHURRIED,
} from './support.js';

/** Its steps pause, so that a process can be killed between two of them. */
const SETS = ['train.steps=60', 'train.checkpointEvery=15', 'cluster.maxRestarts=4'];

const base = mkdtempSync(path.join(tmpdir(), 'locmoe-recovery-'));
/** The folder of the run without a failure. */
let faultFree = '';

beforeAll(async () => {
  faultFree = await trainToTheEnd({ folder: base, nodes: 2, workersPerNode: 1, sets: SETS });
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

/** Its journal's events of one type. */
function journalOf(folder: string, type: string) {
  return readJournal(path.join(newestRun(folder), 'journal.ndjson')).filter((entry) => entry.type === type);
}

it('a run goes on by itself, to the same loss at every step, after a process of each kind was killed or stopped', async () => {
  const folder = temporaryFolder();
  const run = startTraining({ folder, nodes: 2, workersPerNode: 1, sets: SETS, env: UNHURRIED });
  for (const [i, [progress, kind, signal, why]] of (
    [
      [
        /step +1\//,
        'worker',
        'SIGKILL',
        /rank \d, node \d, .*killed by SIGKILL; restarting \(3 restarts left\)/,
      ],
      [
        /checkpoint at step 15:/,
        'worker',
        'SIGKILL',
        /rank \d, .*killed by SIGKILL; restarting \(2 restarts left\)/,
      ],
      [/checkpoint at step 30:/, 'agent', 'SIGKILL', /node \d.* was killed by SIGKILL; restarting/],
      [/checkpoint at step 45:/, 'agent', 'SIGSTOP', /node \d.* it is stopped \(SIGSTOP\); restarting/],
    ] as const
  ).entries()) {
    await run.until(progress);
    process.kill(run.pidsOf(kind)[1], signal);
    await run.until(why);
    const recovered =
      'recovered: detected in \\d+\\.\\d s, restarted in \\d+\\.\\d s, (no|\\d+) steps? .*done again';
    await run.until(new RegExp(`(${recovered}[\\s\\S]*){${i + 1}}`));
  }
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(0);
  expect(lossCurve(newestRun(folder))).toEqual(lossCurve(faultFree));
  expect(journalOf(folder, 'generation')).toMatchObject([
    { generation: 1, from: { kind: 'nothing', step: 0 } },
    { generation: 2, from: { kind: 'nothing' } },
    { generation: 3, from: { kind: 'checkpoint' } },
    { generation: 4, from: { kind: 'checkpoint' } },
    { generation: 5, from: { kind: 'checkpoint' } },
  ]);
  expect(journalOf(folder, 'end')).toMatchObject([{ state: 'finished', exitCode: 0 }]);
  await run.expectNothingLeft();
});

it('a run that began with the weights of another does not go back to them', async () => {
  const one = { nodes: 1, workersPerNode: 1 };
  const curves = [];
  for (const fail of ['', 'step.begun:8:kill:generation=1']) {
    const folder = temporaryFolder();
    const sets = ['train.steps=12', 'train.checkpointEvery=4', 'cluster.maxRestarts=1'];
    const args = trainArguments({ ...one, folder, sets, more: ['--init', faultFree] });
    const { code, stdout } = await new Locmoe(args, { LOCMOE_FAIL: fail }).finished;
    expect([code, stdout.includes('recovered')], stdout).toEqual([0, fail !== '']);
    curves.push(lossCurve(newestRun(folder)));
  }
  expect(curves[1]).toEqual(curves[0]);
});

describe('a run ends', () => {
  const start = () => {
    const folder = temporaryFolder();
    const sets = ['train.steps=100000', 'cluster.maxRestarts=1'];
    return { folder, run: startTraining({ folder, nodes: 1, workersPerNode: 1, sets }) };
  };

  it('with 3 when its restarts are used up, and says so', async () => {
    const { run, folder } = start();
    await run.until(/step +1\//);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    await run.until(/recovered: .*\n[\s\S]*step +\d+\//);
    process.kill(run.pidsOf('worker')[0], 'SIGKILL');
    const { code, stderr } = await run.finished;
    expect(code).toBe(3);
    expect(stderr).toMatch(/not restarted: 1 restart within 3600 s are used up \(cluster\.maxRestarts/);
    const status = await locmoe('status', '--run', newestRun(folder));
    expect(status.stdout).toMatch(
      /^generations \(1 restart, \d+s lost in all\)\n {2}1: 1 x 1 from the beginning, /m,
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
    const { run } = start();
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
