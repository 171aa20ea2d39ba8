import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type MetricsRecordOf, readRecords } from '@locmoe/run-format';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  DATA_DIR,
  filesIn,
  locmoe,
  lossCurve,
  newestRun,
  startTraining,
  temporaryFolder,
  trainToTheEnd,
} from './support.js';

function validations(run: string): MetricsRecordOf<'validation'>[] {
  return readRecords(path.join(run, 'metrics.ndjson')).flatMap((record) =>
    record.type === 'validation' ? [record] : [],
  );
}

/** The domains' losses, to the digits that two layouts agree in. */
function losses({ domains }: Pick<MetricsRecordOf<'validation'>, 'domains'>): Record<string, string> {
  return Object.fromEntries(domains.map(({ domain, loss }) => [domain, loss.toFixed(4)]));
}

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-init-'));
// With thresholds, which are of the router's state.
const router = ['moe.router=locmoe-plus', 'moe.capacityFactor=1', 'moe.localityLossWeight=0'];
let origin: string;
beforeAll(async () => {
  const sets = [...router, 'train.steps=10'];
  origin = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('--init starts a new run, on any layout, with the weights of a checkpoint and nothing else of it', async () => {
  const before = filesIn(origin);
  const checkpoint = path.join(origin, 'checkpoints/step-000010');

  const own = temporaryFolder();
  const tuned = await trainToTheEnd({
    folder: own,
    nodes: 1,
    workersPerNode: 2,
    sets: [...router, 'train.steps=3', 'train.warmupSteps=3'],
    more: ['--init', checkpoint],
  });
  const [atStart, atEnd] = validations(tuned);
  expect(atStart.step).toBe(0);
  expect(atEnd.step).toBe(3);
  const evaluated = await locmoe(
    ...['eval', '--checkpoint', checkpoint, '--sequences', '16', '--data-dir', DATA_DIR, '--json'],
  );
  expect(losses(atStart)).toEqual(losses(JSON.parse(evaluated.stdout)));
  expect(losses(atStart)).toEqual(losses(validations(origin)[0]));
  expect([...lossCurve(tuned).keys()]).toEqual([1, 2, 3]);
  // The schedule is its own.
  const [first] = readRecords(path.join(tuned, 'metrics.ndjson')).filter((record) => record.type === 'step');
  expect(first).toMatchObject({ learningRate: 0.01 / 3 });
  const record = JSON.parse(readFileSync(path.join(tuned, 'run.json'), 'utf8'));
  expect(record).toMatchObject({
    initFrom: { runId: path.basename(origin), step: 10 },
    forkedFrom: null,
    generation: 1,
  });
  expect(filesIn(origin)).toEqual(before);

  // Other text: the tokenizer is that of the weights.
  const other = startTraining({
    folder: temporaryFolder(),
    nodes: 1,
    workersPerNode: 1,
    sets: [...router, 'train.steps=1', 'data.domains=[telecom, code]'],
    more: ['--init', origin],
  });
  const { code, stdout, stderr } = await other.finished;
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toContain(`it starts with the weights of step 10 of run ${path.basename(origin)}`);
  expect(stdout).toMatch(/validation at step 0: loss \d\.\d+ {2}perplexity \d+\.\d {2}\(telecom /);
});

it('--init with another model, or with --resume, is refused in one line', async () => {
  const layout = { nodes: 1, workersPerNode: 1, sets: router };
  for (const [more, pattern] of [
    [
      ['--set', 'model.dModel=64'],
      /^locmoe: checkpoint \S+ does not fit the configuration: model\.dModel is 32 there and 64/,
    ],
    [['--resume'], /^locmoe: --init starts a new run .*, --resume goes on from one: give one of the two/],
  ] as const) {
    const dataDir = path.join(folder, 'data');
    const refused = startTraining({ folder, dataDir, ...layout, more: ['--init', origin, ...more] });
    const { code, stdout, stderr } = await refused.finished;
    expect(code).toBe(2);
    expect(stderr).toMatch(pattern);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(newestRun(folder)).toBe(origin);
    // Told before the text is prepared, which may take long.
    expect(stdout).toBe('');
    expect(existsSync(dataDir)).toBe(false);
  }
});
