import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FailureReport, FlightReport } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { numListening } from '../listening-ports.js';
import {
  type Finished,
  Locmoe,
  locmoe,
  newestRun,
  startTraining,
  temporaryFolder,
  trainArguments,
  trainToTheEnd,
} from './support.js';

const FOREVER = ['train.steps=100000'];
/** A step is a few ms here, so this is plenty for one that has to end by itself. */
const TIMEOUT_S = 3;

async function startedRun(
  nodes: number,
  workersPerNode: number,
  sets: readonly string[] = [],
  folder = temporaryFolder(),
): Promise<Locmoe> {
  const run = startTraining({
    folder,
    nodes,
    workersPerNode,
    sets: [...FOREVER, ...sets],
  });
  await run.until(/step +\d+\/100000/);
  return run;
}

/** Waits for the end, and measures how long it took from now. */
async function endOf(run: Locmoe): Promise<Finished & { readonly tookS: number }> {
  const from = performance.now();
  const finished = await run.finished;
  return { ...finished, tookS: (performance.now() - from) / 1000 };
}

const MAX_LINES = 15;

/** The one line that says why; what explains it must fit a glance. */
function verdict({ stderr }: Finished): string {
  const lines = stderr.trimEnd().split('\n');
  expect(lines.length, stderr).toBeLessThanOrEqual(MAX_LINES);
  const verdicts = lines.filter((line) => line.startsWith('locmoe: '));
  expect(verdicts, stderr).toHaveLength(1);
  return verdicts[0];
}

function reportOf(folder: string, file = 'failure.json'): FailureReport {
  return JSON.parse(readFileSync(path.join(newestRun(folder), file), 'utf8'));
}

it('no process of a run listens for a debugger when SIGUSR1 asks for one, and a worker that is stopped for 3 s only delays it', async () => {
  const run = await startedRun(1, 2);
  const pids = run.descendants();
  expect([run.pidsOf('agent').length, run.pidsOf('worker').length, pids.length]).toEqual([1, 2, 4]);
  const before = pids.map(numListening);
  for (const pid of pids) process.kill(pid, 'SIGUSR1');
  // Node's own handler listens within 50 ms.
  await sleep(1_000);
  expect(pids.map(numListening)).toEqual(before);
  expect(run.output).not.toMatch(/Debugger/);

  const [victim] = run.pidsOf('worker');
  process.kill(victim, 'SIGSTOP');
  await sleep(3_000);
  process.kill(victim, 'SIGCONT');
  // A last checkpoint takes all ranks.
  run.interrupt();
  expect((await run.finished).code).toBe(130);
});

describe('a worker that', () => {
  it('is killed ends the run within seconds, named with its signal, step and operation', async () => {
    const folder = temporaryFolder();
    const run = await startedRun(2, 1, ['train.checkpointEvery=10'], folder);
    await run.until(/checkpoint at step/);
    const victim = run.pidsOf('worker')[1];
    process.kill(victim, 'SIGKILL');
    const end = await endOf(run);
    expect(end.code).toBe(3);
    // Far below the deadline after which a hang is one.
    expect(end.tookS).toBeLessThan(40);
    expect(verdict(end)).toMatch(
      new RegExp(
        `run failed: rank \\d, node \\d, step \\d+, .*worker \\(pid ${victim}\\) was killed by SIGKILL`,
      ),
    );
    const report = reportOf(folder);
    expect(report).toEqual({
      time: expect.closeTo(Date.now(), -4.5),
      generation: 1,
      code: 'WORKER_DIED',
      message: verdict(end).replace('locmoe: run failed: ', ''),
      rank: expect.any(Number),
      node: report.rank,
      host: hostname(),
      pid: victim,
      exitCode: null,
      signal: 'SIGKILL',
      step: expect.any(Number),
      layer: report.layer,
      operation: expect.stringMatching(/^(forward|backward|reduce|optimizer|checkpoint)/),
      checkpoint: expect.stringMatching(/checkpoints\/step-\d+$/),
      suspectCheckpoint: null,
      notRestarted: null,
      silentMs: null,
      resumeCommand: expect.stringMatching(
        /^\S+cli\.js train --resume \S+ --runs-dir \S+ --data-dir \S+ --no-samples$/,
      ),
      logsCommand: expect.stringMatching(/^\S+cli\.js logs --run \S+ --level warn$/),
      ranks: [0, 1].map((rank) => ({
        rank,
        node: rank,
        step: expect.any(Number),
        phase: expect.any(String),
        operation: expect.any(String),
        // The others hear of it at once, and may have ended too by the time that they are looked at.
        processState: expect.stringMatching(rank === report.rank ? /[XZ]/ : /[RSDXZ]/),
        lastHeardMs: expect.any(Number),
      })),
    });
    // All were heard of when it happened: no rank can be more than a step away.
    for (const { step } of report.ranks) expect(Math.abs(step - report.step!)).toBeLessThanOrEqual(1);
    expect(end.stderr).toMatch(/resume: \S+cli\.js train --resume .*from step-0+\d+/);
    for (const text of [report.resumeCommand!, report.logsCommand, hostname(), 'killed by SIGKILL'])
      expect(end.stderr).toContain(text);
    await run.expectNothingLeft();

    const place = ['--run', newestRun(folder)];
    const status = await locmoe('status', ...place);
    expect(status.code).toBe(3);
    expect(status.stdout).toMatch(/: failed \(WORKER_DIED\)\n {2}step \d+\/100000 {2}loss \d\.\d+\n/);
    for (const text of [report.resumeCommand!, `pid ${victim}, killed by SIGKILL`])
      expect(status.stdout).toContain(text);
    const ofStep = `{source="coordinator", rank="${report.rank}"} | json | step = ${report.step}`;
    const found = await locmoe('logs', ofStep, '--level', 'error', '--json', ...place);
    expect(found.stdout).toContain(`"msg":"the run failed: ${report.message}`);
    const around = await locmoe('logs', '|= "the run failed: "', '-A', '1', ...place);
    expect(around.stdout).toMatch(
      /^> .*ERROR: coordinator .*the run failed: .*\n {2}\[.*ERROR: coordinator .*run is failed/m,
    );

    await expectLastWords(newestRun(folder));
    const flight: FlightReport = JSON.parse((await locmoe('flight', newestRun(folder), '--json')).stdout);
    expect([flight.oddRanks, flight.missingNodes]).toEqual([[report.rank], []]);
    expect(flight.summary).toMatch(new RegExp(`rank ${report.rank} .*, and its process ${victim} has died$`));

    const words = [...report.resumeCommand!.split(' ').slice(1), '--set', 'train.steps=100000'];
    const resumed = new Locmoe(words);
    await resumed.until(/step +\d+\/100000/);
    expect(reportOf(folder, 'failure-1.json')).toEqual(report);
    expect(() => reportOf(folder)).toThrow(/ENOENT/);
    resumed.interrupt();
    expect((await resumed.finished).code).toBe(130);
    await resumed.expectNothingLeft();
  });

  it('is alive but stuck is named with the collective that it missed, and with its stack', async () => {
    const folder = temporaryFolder();
    const sets = [...FOREVER, `cluster.collectiveTimeoutS=${TIMEOUT_S}`];
    const run = new Locmoe(trainArguments({ folder, nodes: 2, workersPerNode: 1, sets }), {
      LOCMOE_FAIL: 'step.begun:9:sleep=600000:rank=1',
    });
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(verdict(end)).toMatch(
      /run failed: rank 1, node 1, step 8, .*has made no progress for \d\.\d s; all-gather counts layer 1 \(operation \d+\): missing ranks \{1\}; it is in strike \(.*failpoint\.js:\d+:\d+\)$/,
    );
    const report = reportOf(folder);
    expect(report).toMatchObject({ code: 'WORKER_HUNG', rank: 1, signal: null });
    const { stdout } = await locmoe('flight', newestRun(folder));
    expect(stdout).toMatch(
      /stack of rank 1\n {2}strike \(.*\n {2}failpoint \(.*\n {2}(async )?Trainer\.run \(.*trainer\.js/,
    );
    await run.expectNothingLeft();
  });

  it('computes what is not finite says so, with steps and remedy', async () => {
    const folder = temporaryFolder();
    const layout = { folder, nodes: 1, workersPerNode: 1 };
    const sets = ['train.learningRate=1e30', 'train.warmupSteps=0'];
    const resume = await trainToTheEnd({ ...layout, sets: [...sets, 'train.steps=1'] });
    const run = startTraining({ ...layout, sets: [...sets, ...FOREVER], resume });
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(verdict(end)).toMatch(/steps \d to \d were not finite.*train\.learningRate/);
    expect(end.stderr).toMatch(/resume: .*step-000001 .*--set train\.learningRate=5e\+29/);
    await run.expectNothingLeft();
  });
});

describe('a node agent that', () => {
  it('is killed ends the run, named, and takes its workers with it', async () => {
    const folder = temporaryFolder();
    const run = await startedRun(2, 1, [], folder);
    const victim = run.pidsOf('agent')[0];
    process.kill(victim, 'SIGKILL');
    const end = await endOf(run);
    expect(end.code).toBe(3);
    expect(end.tookS).toBeLessThan(40);
    expect(verdict(end)).toMatch(new RegExp(`node \\d.*\\(pid ${victim}\\) was lost`));
    expect(reportOf(folder)).toMatchObject({
      code: 'NODE_LOST',
      rank: null,
      node: expect.any(Number),
      pid: victim,
      signal: 'SIGKILL',
    });
    await run.expectNothingLeft();
  });
});

describe('a coordinator that', () => {
  it('is killed leaves no process and no shared memory', async () => {
    const run = await startedRun(1, 1);
    run.child.kill('SIGKILL');
    await run.finished;
    await run.expectNothingLeft();
  });
});

/** Every process of a failed run of two nodes has its last words in the log. */
async function expectLastWords(folder: string): Promise<void> {
  const { stdout } = await locmoe('logs', '--json', '--level', 'info', '--run', folder);
  const records = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  for (const rank of [0, 1]) {
    const own = records.filter((record) => record.node === rank && record.rank === rank);
    expect(own.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/^training from step 1/));
  }
  expect(records.some(({ level, msg }) => level === 'error' && /SIGKILL/.test(msg))).toBe(true);
  for (const record of records) expect(record).toMatchObject({ run: expect.any(String), generation: 1 });
}
