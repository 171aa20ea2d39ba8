import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../run-command.js';
import {
  Locmoe,
  locmoe,
  newestRun,
  startTraining,
  temporaryFolder,
  trainArguments,
  UNHURRIED,
} from './support.js';

/** Makes every worker write a line of 20 MB to both of its streams when it starts. */
const WRITE_LONG_LINES = `
  import { writeSync } from 'node:fs';
  if (process.argv[1]?.endsWith('worker/main.js'))
    for (const fd of [1, 2]) {
      for (let left = 20e6; left > 0; ) left -= writeSync(fd, '{'.repeat(Math.min(left, 1 << 16)));
      writeSync(fd, String.fromCharCode(10));
    }
`;

describe('locmoe logs', () => {
  it('queries a live run, follows it to its end, is served over HTTP meanwhile, and answers afterwards', async () => {
    const folder = temporaryFolder();
    const run = startTraining({
      folder,
      nodes: 1,
      workersPerNode: 2,
      sets: ['train.steps=100000', 'logLevel=debug'],
      env: UNHURRIED,
    });
    await run.until(/step +(?:[89]|\d{2,})\/100000/);
    const runs = ['--runs-dir', `${folder}/runs`];
    const { runId } = JSON.parse(readFileSync(`${newestRun(folder)}/run.json`, 'utf8'));

    const human = await locmoe('logs', '{rank="1"} |= "training from step"', '-C', '1', ...runs);
    expect(human.code, human.stderr).toBe(0);
    expect(human.stdout).toMatch(/^> \[.*INFO: node 0 rank 1 .*training from step 1/m);
    expect(human.stdout).not.toMatch(/rank 0/);
    expect(human.stdout).not.toContain('\x1b');

    const table = await runCommand('logs', 'sum by (rank) (count_over_time({source="worker"}[1h]))', ...runs);
    expect(table.stdout).toMatch(/^\{rank="0"\} +\d/m);
    const refused = await runCommand('logs', '{rank="1"} | distinct msg', ...runs);
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('`distinct` is not supported'),
    });

    const query = encodeURIComponent(`sum by (source) (count_over_time({run="${runId}"}[1h]))`);
    const { address, headers } = await run.http();
    const answer = await fetch(`http://${address}/loki/api/v1/query?query=${query}`, { headers });
    const { data } = (await answer.json()) as { data: { result: { metric: { source: string } }[] } };
    expect(data.result.map(({ metric }) => metric.source).sort()).toEqual(['coordinator', 'worker']);

    const follower = new Locmoe(['logs', '|= "run is"', '--follow', '--json', ...runs]);
    await follower.until(/run is running/);
    expect((await locmoe('stop', ...runs)).code).toBe(0);
    expect((await run.finished).code).toBe(130);
    const { code, stdout } = await follower.finished;
    expect(code).toBe(0);
    expect(stdout).toMatch(/run is finished/);
    await expectToAnswerWhenOver(newestRun(folder));
  });

  async function expectToAnswerWhenOver(run: string): Promise<void> {
    const { stdout } = await runCommand('logs', '| json | step="7"', '--json', '--run', run);
    const steps = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(new Set(steps.map(({ step }) => step))).toEqual(new Set([7]));
    expect(new Set(steps.map(({ rank }) => rank))).toEqual(new Set([0, 1]));
    const formatted = await runCommand(
      'logs',
      '|= "training from" | line_format "{{.rank}}: {{.level}}"',
      '--json',
      '--run',
      run,
    );
    expect(formatted.stdout.trim().split('\n').sort()).toEqual(['0: info', '1: info']);
    const none = await locmoe('logs', '|= "no such words"', '--run', run);
    expect(none).toMatchObject({ code: 1, stdout: '', stderr: 'no lines match\n' });
    rmSync(`${run}/logs`, { recursive: true });
    const gone = await runCommand('logs', '--run', run);
    expect(gone).toMatchObject({ code: 2, stderr: expect.stringMatching(/^locmoe: \S+\/logs is missing: /) });
  }
});

describe('a line of 20 MB that a worker writes', () => {
  it('does not end the run, and is in the log with its beginning', async () => {
    const folder = temporaryFolder();
    const file = `${folder}/long-lines.mjs`;
    writeFileSync(file, WRITE_LONG_LINES);
    const training = trainArguments({ folder, nodes: 1, workersPerNode: 1, sets: ['train.steps=2'] });
    const run = new Locmoe(training, { NODE_OPTIONS: `--import=${file}` });
    const { code, stdout, stderr } = await run.finished;
    expect(code, stdout + stderr).toBe(0);
    const query = '{rank="0"} |= "more characters"';
    const found = await runCommand('logs', query, '--json', '--run', newestRun(folder));
    const records = found.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records.map(({ stream }) => stream).sort()).toEqual(['stderr', 'stdout']);
    for (const { msg } of records) expect(msg).toMatch(/^\{{1000,} ?\[\.\.\. \d{8} more characters\]$/);
  });
});
