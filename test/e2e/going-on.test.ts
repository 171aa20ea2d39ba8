import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { FailureReport } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import {
  filesIn,
  type Locmoe,
  locmoe,
  lossCurve,
  newestRun,
  pasted,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
} from './support.js';

const LAYOUT = { nodes: 1, workersPerNode: 1 };

/** A run with checkpoints at steps 2 and 4 in a folder whose name a shell takes apart. */
async function runWithTwoCheckpoints(): Promise<{ folder: string; run: string }> {
  const folder = path.join(temporaryFolder(), "it's one");
  mkdirSync(folder);
  const sets = ['train.steps=4', 'train.checkpointEvery=2'];
  return { folder, run: await trainToTheEnd({ ...LAYOUT, folder, sets }) };
}

async function killedAtWork(run: Locmoe): Promise<{ report: FailureReport; line: string }> {
  await run.until(/step +\d+\/1000000/);
  process.kill(run.pidsOf('worker')[0], 'SIGKILL');
  const { code, stdout, stderr } = await run.finished;
  expect(code, stdout + stderr).toBe(3);
  const directory = /^page: \S+#run=(\S+)$/m.exec(stdout)![1];
  const folder = /--runs-dir ('.*?runs'|\S+) /
    .exec(stderr)![1]
    .replaceAll("'\\''", "'")
    .replace(/^'|'$/g, '');
  return {
    report: JSON.parse(readFileSync(path.join(folder, directory, 'failure.json'), 'utf8')),
    line: /^ {2}resume: (.*)$/m.exec(stderr)![1],
  };
}

it('the line that a failed run prints goes on with its options, pasted as it is', async () => {
  const { folder, run } = await runWithTwoCheckpoints();
  const sets = ['train.steps=1000000', 'train.learningRate=0.0005'];
  const { report, line } = await killedAtWork(startTraining({ ...LAYOUT, folder, sets, resume: run }));
  expect(line).toBe(`${report.resumeCommand}  # from step-000004`);
  const again = pasted(line);
  await again.until(/step +\d+\/1000000/);
  const config = JSON.parse(readFileSync(path.join(run, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ train: { steps: 1_000_000, learningRate: 0.0005 } });
  expect((await locmoe('stop', '--run', run)).code).toBe(0);
  const { code, stdout, stderr } = await again.finished;
  expect(code, stdout + stderr).toBe(130);
  expect(lossCurve(run).has(5)).toBe(true);
  const next = await pasted(/^ {2}npx (locmoe logs .*)$/m.exec(stdout)![1]).finished;
  expect(next.code, next.stderr).toBe(0);
});

it('a fork starts a new run and leaves the other alone, as does a start that fails', async () => {
  const { folder, run } = await runWithTwoCheckpoints();
  const resume = path.join(run, 'checkpoints/step-000002');
  const kept = path.join(temporaryFolder(), 'kept');
  cpSync(run, kept, { recursive: true });
  const history = ['config.json', 'summary.json', 'checkpoints/step-000002', 'checkpoints/step-000004'];
  const expectHistoryKept = () => {
    for (const each of history) expect(filesIn(path.join(run, each))).toEqual(filesIn(path.join(kept, each)));
    expect([...lossCurve(run)]).toEqual([...lossCurve(kept)]);
  };

  const sets = ['train.steps=8'];
  const env = { LOCMOE_FAIL: 'journal.append:throw' };
  const failed = await startTraining({ ...LAYOUT, workersPerNode: 2, folder, sets, resume, env }).finished;
  expect(failed.code, failed.stderr).toBe(3);
  expect(failed.stderr).toMatch(
    /^locmoe: run \S+ goes back to step 2; it loses the metrics of steps 3 to 4 when .*, step-000004 at .*--fork$/m,
  );
  expectHistoryKept();

  const fork = ['--fork', '--set', 'train.steps=1000000'];
  const forked = await killedAtWork(startTraining({ ...LAYOUT, folder, resume, more: fork }));
  const record = (place: string) => JSON.parse(readFileSync(path.join(place, 'run.json'), 'utf8'));
  const child = newestRun(folder);
  expect(record(child)).toMatchObject({ generation: 1, forkedFrom: { runId: path.basename(run), step: 2 } });
  expect(Math.min(...lossCurve(child).keys())).toBe(3);
  expect(forked.line).toMatch(
    /step-000002'? --fork --config .* --set train\.steps=1000000 .*# from step-000002$/,
  );
  expectHistoryKept();
});
