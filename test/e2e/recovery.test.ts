import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readJournal } from '@locmoe/run-format';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ChromeTrace } from '../../src/cli/chrome-trace.js';
import { NIGHTLY } from '../nightly.js';
import {
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
  UNHURRIED,
} from './support.js';

const SETS = ['train.steps=25', 'train.checkpointEvery=5'];
const ONE = { nodes: 1, workersPerNode: 1 };

const base = mkdtempSync(path.join(tmpdir(), 'locmoe-recovery-'));
/** The folder of the run without a failure. */
let faultFree = '';

beforeAll(async () => {
  faultFree = await trainToTheEnd({ folder: base, nodes: 2, workersPerNode: 1, sets: SETS });
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

/** The events of one type in the journal of the newest run. */
function journalOf(folder: string, type: string) {
  return readJournal(path.join(newestRun(folder), 'journal.ndjson')).filter((entry) => entry.type === type);
}

type Fault = readonly [after: RegExp, kind: 'worker' | 'agent', signal: NodeJS.Signals, report: RegExp];
const BY_DAY: readonly Fault[] = [
  [
    /step +1\//,
    'worker',
    'SIGKILL',
    /rank \d, node \d, .*killed by SIGKILL; restarting \(\d restarts? left\)/,
  ],
  [/checkpoint at step 5:/, 'agent', 'SIGSTOP', /node \d.* it is stopped \(SIGSTOP\); restarting/],
];
/** Other tests kill a worker after a checkpoint (not-finite, failure) and an agent (snapshots) by day. */
const BY_NIGHT: readonly Fault[] = [
  [/checkpoint at step 10:/, 'worker', 'SIGKILL', /rank \d, .*killed by SIGKILL; restarting/],
  [/checkpoint at step 15:/, 'agent', 'SIGKILL', /node \d.* was killed by SIGKILL; restarting/],
];

it('a run goes on by itself, to the same loss at every step, until its restarts are used up', async () => {
  const faults = NIGHTLY ? [...BY_DAY, ...BY_NIGHT] : BY_DAY;
  const folder = temporaryFolder();
  const sets = [...SETS, `cluster.maxRestarts=${faults.length}`, 'cluster.spares=0'];
  const run = startTraining({ folder, nodes: 2, workersPerNode: 1, sets, env: UNHURRIED });
  for (const [i, [after, kind, signal, report]] of faults.entries()) {
    await run.until(after);
    process.kill(run.pidsOf(kind)[1], signal);
    await run.until(report);
    const recovered =
      'recovered: detected in \\d+\\.\\d s, restarted in \\d+\\.\\d s, (no|\\d+) steps? .*done again';
    await run.until(new RegExp(`(${recovered}[\\s\\S]*){${i + 1}}`));
  }
  await run.until(new RegExp(`checkpoint at step ${5 * faults.length}:`));
  expect(run.pidsOf('worker')).toHaveLength(2);
  process.kill(run.pidsOf('worker')[0], 'SIGKILL');
  const { code, stderr } = await run.finished;
  expect(code, stderr).toBe(3);
  expect(stderr).toMatch(/not restarted: \d restarts within 3600 s are used up \(cluster\.maxRestarts/);
  await run.expectNothingLeft();

  const directory = newestRun(folder);
  const curve = [...lossCurve(directory)];
  expect(curve.length).toBeGreaterThanOrEqual(5 * faults.length);
  expect(curve).toEqual([...lossCurve(faultFree)].slice(0, curve.length));
  expect(journalOf(folder, 'generation')).toMatchObject([
    { generation: 1, from: { kind: 'nothing', step: 0 } },
    { generation: 2, from: { kind: 'nothing' } },
    ...faults.slice(1).map((_, i) => ({ generation: i + 3, from: { kind: 'checkpoint' } })),
  ]);
  expect(journalOf(folder, 'end')).toMatchObject([{ state: 'failed', exitCode: 3 }]);
  const { stdout } = await locmoe('status', '--run', directory);
  expect(stdout).toMatch(
    /^generations \(\d restarts, \d+s lost in all\)\n {2}1: 2 x 1 from the beginning, /m,
  );
  expect(stdout).toMatch(/restarted: rank \d, .*SIGKILL\n {2}2: /);
  expect(stdout).toMatch(/failed: rank \d, .*\n {5}detected in/);
  await expectBills(directory, faults.length);
  expect(readdirSync(directory)).toEqual(
    expect.arrayContaining(['failure.json', 'failure-1.json', 'failure-2.json']),
  );
});

/** Each recovery has a bill that adds up to the outage, also by the wall clock of the journal, and its start is in the trace. */
async function expectBills(directory: string, numRecoveries: number): Promise<void> {
  const journal = readJournal(path.join(directory, 'journal.ndjson'));
  const bills = journal.flatMap((entry) => (entry.type === 'bill' ? [entry] : []));
  expect(bills.map(({ generation }) => generation)).toEqual(
    Array.from({ length: numRecoveries }, (_, i) => i + 2),
  );
  for (const { generation, time, outageS, slowest, ranksS } of bills) {
    expect(ranksS).toHaveLength(2);
    expect(Math.min(...ranksS.flatMap((spansS) => Object.values(spansS)))).toBeGreaterThanOrEqual(0);
    const sum = Object.values(ranksS[slowest]).reduce((total, span) => total + span, 0);
    const failedAt = journal.find((each) => each.type === 'failure' && each.generation === generation - 1)!;
    const seenS = ranksS[slowest].detection + (time - failedAt.time) / 1000;
    for (const ratio of [sum / outageS, sum / seenS])
      expect(Math.abs(ratio - 1), JSON.stringify({ outageS, seenS, ranksS })).toBeLessThan(0.05);
  }
  const { stdout } = await locmoe('status', '--json', '--run', directory);
  const { time: _, type: _type, generation: _generation, ...bill } = bills[0];
  expect(JSON.parse(stdout).generations[1].bill).toEqual(bill);
  const file = path.join(temporaryFolder(), 'trace.json');
  await locmoe('trace', directory, '--generation', '2', '--steps', '1', '--out', file);
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as ChromeTrace;
  for (const tid of [1, 2]) {
    const all = traceEvents.flatMap((each) => (each.ph === 'X' && each.tid === tid ? [each.name] : []));
    // A survivor and a spare have loaded their program already.
    const names = all.filter((name) => name !== 'node' && name !== 'modules');
    const start = ['rings', 'state', 'rings', 'kernels', 'data', 'state', 'peers', 'trials'];
    expect(names.slice(0, start.length)).toEqual(start);
    expect(names).toContain('step 1');
  }
}

it('healthy workers keep their processes, and a spare takes the place of one that died, whatever happens next', async () => {
  const folder = temporaryFolder();
  const sets = [...SETS, 'cluster.maxRestarts=9'];
  const env = { LOCMOE_FAIL: 'step.begun:*:sleep=300' };
  const run = startTraining({ folder, nodes: 2, workersPerNode: 1, sets, env });
  const ranks = async (): Promise<number[]> => {
    const { stdout } = await locmoe('status', '--json', '--run', newestRun(folder));
    return JSON.parse(stdout).workers.map(({ pid }: { pid: number }) => pid);
  };
  const allSpares = async () => {
    await expect.poll(() => run.pidsOf('worker').length, { timeout: 60_000 }).toBe(4);
    return run.pidsOf('worker').filter((pid) => !first.includes(pid));
  };
  await run.until(/step +1\//);
  const first = await ranks();

  // A spare that dies is replaced, and the run does not notice.
  const [lost] = await allSpares();
  process.kill(lost, 'SIGKILL');
  await expect.poll(() => run.pidsOf('worker').includes(lost)).toBe(false);
  const spares = await allSpares();

  process.kill(first[1], 'SIGKILL');
  await run.until(/(recovered: [\s\S]*){1}/);
  const second = await ranks();
  expect(second[0]).toBe(first[0]);
  expect(spares).toContain(second[1]);

  // Node 1 may have no spare yet.
  for (const pid of second) process.kill(pid, 'SIGKILL');
  await run.until(/(recovered: [\s\S]*){2}/);
  const third = await ranks();
  expect(spares).toContain(third[0]);

  process.kill(third[0], 'SIGKILL');
  await run.until(/generation 4 starts from/);
  process.kill(third[1], 'SIGKILL');
  await run.until(/(recovered: [\s\S]*){3}/);
  expect(await ranks()).not.toContain(third[1]);
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(0);
  await run.expectNothingLeft();
  expect(lossCurve(newestRun(folder))).toEqual(lossCurve(faultFree));
});

it('a run that began with the weights of another does not go back to them', async () => {
  const folder = temporaryFolder();
  const sets = ['train.steps=6', 'train.checkpointEvery=3', 'cluster.maxRestarts=1'];
  // The checkpoint is committed, and losses are read, before the worker dies.
  const env = { LOCMOE_FAIL: 'step.begun:*:sleep=500,step.begun:6:kill:generation=1' };
  const run = startTraining({ ...ONE, folder, sets, env, more: ['--init', faultFree] });
  await run.until(/checkpoint at step 3:/);
  await expect.poll(() => lossCurve(newestRun(folder)).size).toBe(5);
  const before = lossCurve(newestRun(folder));
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(0);
  expect(journalOf(folder, 'generation')).toMatchObject([
    { from: { kind: 'nothing' } },
    { from: { kind: 'checkpoint', step: 3 } },
  ]);
  expect([...lossCurve(newestRun(folder))].slice(0, 5)).toEqual([...before]);
});

it('a run ends as asked when the signal comes while it restarts', async () => {
  const sets = ['train.steps=100000', 'cluster.maxRestarts=1'];
  const run = startTraining({ folder: temporaryFolder(), ...ONE, sets, env: UNHURRIED });
  await run.until(/step +1\//);
  process.kill(run.pidsOf('agent')[0], 'SIGKILL');
  await run.until(/restarting/);
  // Not to the whole group, in which a new agent still is for a moment.
  process.kill(run.child.pid!, 'SIGINT');
  const { code, stdout } = await run.finished;
  expect(code, stdout).toBe(130);
  expect(stdout).toMatch(/checkpoint at step 1:/);
  await run.expectNothingLeft();
});
