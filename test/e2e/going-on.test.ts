import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { FailureReport } from '@locmoe/run-format';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
  UNHURRIED,
} from './support.js';

const LAYOUT = { nodes: 1, workersPerNode: 1, env: UNHURRIED };

/** A folder whose name a shell splits unless it is quoted. */
const folder = path.join(mkdtempSync(path.join(tmpdir(), 'locmoe-going-on-')), "it's one");
/** This run has checkpoints at steps 2 and 4. */
let run = '';

beforeAll(async () => {
  mkdirSync(folder);
  run = await trainToTheEnd({ ...LAYOUT, folder, sets: ['train.steps=4', 'train.checkpointEvery=2'] });
});

afterAll(() => rmSync(path.dirname(folder), { recursive: true, force: true }));

async function killedAtWork(atWork: Locmoe): Promise<{ report: FailureReport; line: string }> {
  await atWork.until(/step +\d+\/1000000/);
  process.kill(atWork.pidsOf('worker')[0], 'SIGKILL');
  const { code, stdout, stderr } = await atWork.finished;
  expect(code, stdout + stderr).toBe(3);
  const directory = /^page: \S+#run=(\S+)$/m.exec(stdout)![1];
  const runsDir = /--runs-dir ('.*?runs'|\S+) /
    .exec(stderr)![1]
    .replaceAll("'\\''", "'")
    .replace(/^'|'$/g, '');
  return {
    report: JSON.parse(readFileSync(path.join(runsDir, directory, 'failure.json'), 'utf8')),
    line: /^ {2}resume: (.*)$/m.exec(stderr)![1],
  };
}

// This test comes first, since the other goes on with the run.
it('a fork starts a new run and leaves the other alone, as does a start that fails', async () => {
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
  const failed = await startTraining({ ...LAYOUT, folder, sets, resume, env }).finished;
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

it('the line that a failed run prints goes on with its options, pasted as it is', async () => {
  const sets = ['train.steps=1000000', 'train.learningRate=0.0005'];
  const { report, line } = await killedAtWork(startTraining({ ...LAYOUT, folder, sets, resume: run }));
  expect(line).toBe(`${report.resumeCommand}  # from step-000004`);
  const again = pasted(line);
  await again.until(/step +\d+\/1000000/);
  const config = JSON.parse(readFileSync(path.join(run, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ train: { steps: 1_000_000, learningRate: 0.0005 } });
  // The run has resumed, and its failure is archived.
  expect(existsSync(path.join(run, 'failure.json'))).toBe(false);
  expect(JSON.parse(readFileSync(path.join(run, `failure-${report.generation}.json`), 'utf8'))).toEqual(
    report,
  );
  expect((await locmoe('stop', '--run', run)).code).toBe(0);
  const { code, stdout, stderr } = await again.finished;
  expect(code, stdout + stderr).toBe(130);
  expect(lossCurve(run).has(5)).toBe(true);
  const next = await pasted(/ {2}(\S+cli\.js generate .*)$/m.exec(stdout)![1]).finished;
  expect(next.code, next.stderr).toBe(0);
});
