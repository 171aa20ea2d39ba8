import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import type { FailureReport, FlightReport } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { type Finished, locmoe, newestRun, startTraining, temporaryFolder, UNHURRIED } from './support.js';

/** An explanation of a failure must be readable at a glance. */
const MAX_LINES = 15;

/** Returns the one line that gives the cause. */
function verdict({ stderr }: Finished): string {
  const lines = stderr.trimEnd().split('\n');
  expect(lines.length, stderr).toBeLessThanOrEqual(MAX_LINES);
  const verdicts = lines.filter((line) => line.startsWith('locmoe: '));
  expect(verdicts, stderr).toHaveLength(1);
  return verdicts[0];
}

function reportOf(folder: string): FailureReport {
  return JSON.parse(readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8'));
}

describe('a worker that', () => {
  it('is killed ends the run, named with its signal, step and operation', async () => {
    const folder = temporaryFolder();
    // The probe of routes is a validation, during which a worker may be killed too.
    const sets = ['train.steps=100000', 'train.checkpointEvery=5', 'train.probeRoutes=false'];
    const run = startTraining({ folder, nodes: 2, workersPerNode: 1, sets, env: UNHURRIED });
    await run.until(/checkpoint at step/);
    const victim = run.pidsOf('worker')[1];
    process.kill(victim, 'SIGKILL');
    const end = await run.finished;
    expect(end.code).toBe(3);
    expect(verdict(end)).toMatch(
      new RegExp(
        `run failed: rank \\d, node \\d, step \\d+, .*worker \\(pid ${victim}\\) was killed by SIGKILL`,
      ),
    );
    const report = reportOf(folder);
    expect(report).toEqual({
      time: expect.any(Number),
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
        // The other ranks hear of the failure at once, and may have ended before the report is made.
        processState: expect.stringMatching(rank === report.rank ? /[XZ]/ : /[RSDXZ]/),
        lastHeardMs: expect.any(Number),
      })),
    });
    // All ranks were heard at the time of the failure, so none can be more than a step away.
    for (const { step } of report.ranks) expect(Math.abs(step - report.step!)).toBeLessThanOrEqual(1);
    expect(end.stderr).toMatch(/resume: \S+cli\.js train --resume .*from step-0+\d+/);
    for (const text of [report.resumeCommand!, report.logsCommand, hostname(), 'killed by SIGKILL'])
      expect(end.stderr).toContain(text);
    await run.expectNothingLeft();
    await expectToldBy(newestRun(folder), report);
  });

  it('is alive but stuck is named with the collective that it missed, and with its stack', async () => {
    const folder = temporaryFolder();
    const sets = ['train.steps=100000', 'cluster.collectiveTimeoutS=3'];
    const env = { LOCMOE_FAIL: 'step.begun:9:sleep=600000:rank=1' };
    const run = startTraining({ folder, nodes: 1, workersPerNode: 2, sets, env });
    const end = await run.finished;
    expect(end.code).toBe(3);
    expect(verdict(end)).toMatch(
      /run failed: rank 1, node 0, step 8, .*has made no progress for \d\.\d s; all-gather counts layer 1 \(operation \d+\): missing ranks \{1\}; it is in strike \(.*failpoint\.js:\d+:\d+\)$/,
    );
    expect(reportOf(folder)).toMatchObject({ code: 'WORKER_HUNG', rank: 1, signal: null });
    const { stdout } = await locmoe('flight', newestRun(folder));
    expect(stdout).toMatch(
      /stack of rank 1\n {2}strike \(.*\n {2}failpoint \(.*\n {2}(async )?Trainer\.run \(.*trainer\.js/,
    );
    await run.expectNothingLeft();
  });
});

/** Expects the commands that inspect a run to say why it failed, and what its processes did last. */
async function expectToldBy(folder: string, report: FailureReport): Promise<void> {
  const [status, logs, flight] = await Promise.all([
    locmoe('status', '--run', folder),
    locmoe('logs', '--json', '--level', 'info', '--run', folder),
    locmoe('flight', folder, '--json'),
  ]);
  expect(status.code).toBe(3);
  expect(status.stdout).toMatch(/: failed \(WORKER_DIED\)\n {2}step \d+\/100000 {2}loss \d\.\d+\n/);
  for (const text of [report.resumeCommand!, `pid ${report.pid}, killed by SIGKILL`])
    expect(status.stdout).toContain(text);

  const records = logs.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  for (const record of records) expect(record).toMatchObject({ run: expect.any(String), generation: 1 });
  for (const rank of [0, 1])
    expect(records).toContainEqual(
      expect.objectContaining({ node: rank, rank, msg: expect.stringMatching(/^training from step 1/) }),
    );
  expect(records).toContainEqual(
    expect.objectContaining({
      level: 'error',
      rank: report.rank,
      step: report.step,
      msg: expect.stringContaining(`the run failed: ${report.message}`),
    }),
  );

  const { oddRanks, missingNodes, summary } = JSON.parse(flight.stdout) as FlightReport;
  expect([oddRanks, missingNodes]).toEqual([[report.rank], []]);
  expect(summary).toMatch(new RegExp(`rank ${report.rank} .*, and its process ${report.pid} has died$`));
}
