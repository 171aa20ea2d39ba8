import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type MetricsRecordOf, readRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { filesIn, locmoe, lossCurve, newestRun, temporaryFolder, trainToTheEnd } from './support.js';

function validations(run: string): MetricsRecordOf<'validation'>[] {
  return readRecords(path.join(run, 'metrics.ndjson')).filter((record) => record.type === 'validation');
}

/** The domains' losses, to the digits in which two layouts agree. */
function losses({ domains }: MetricsRecordOf<'validation'>): Record<string, string> {
  return Object.fromEntries(domains.map(({ domain, loss }) => [domain, loss.toFixed(4)]));
}

// This router has thresholds, which are part of its state.
const router = ['moe.router=locmoe-plus', 'moe.capacityFactor=1', 'moe.localityLossWeight=0'];

it('--init starts a new run, on any layout, with the weights of a checkpoint and nothing else of it', async () => {
  const folder = temporaryFolder();
  const sets = [...router, 'train.steps=3'];
  const origin = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets });
  const before = filesIn(origin);
  const more = ['--init', path.join(origin, 'checkpoints/step-000003'), '--name', 'tuned'];
  const other = [...router, 'train.steps=2', 'train.warmupSteps=2'];
  const own = temporaryFolder();
  const tuned = await trainToTheEnd({ folder: own, nodes: 1, workersPerNode: 2, sets: other, more });
  expect(path.basename(tuned)).toBe('tuned');
  const [atStart, atEnd] = validations(tuned);
  expect([atStart!.step, atEnd!.step]).toEqual([0, 2]);
  expect(losses(atStart!)).toEqual(losses(validations(origin).at(-1)!));
  expect([...lossCurve(tuned).keys()]).toEqual([1, 2]);
  // The new run has its own schedule.
  const [first] = readRecords(path.join(tuned, 'metrics.ndjson')).filter((record) => record.type === 'step');
  expect(first).toMatchObject({ learningRate: 0.01 / 2 });
  expect(JSON.parse(readFileSync(path.join(tuned, 'run.json'), 'utf8'))).toMatchObject({
    initFrom: { runId: path.basename(origin), step: 3 },
    forkedFrom: null,
    generation: 1,
  });
  expect(filesIn(origin)).toEqual(before);

  // Settings that do not fit are refused before any text is prepared.
  const data = path.join(folder, 'data');
  for (const [given, line] of [
    [
      ['--set', 'model.dModel=64'],
      /^locmoe: checkpoint \S+ does not fit .*: model\.dModel is 32 there and 64/,
    ],
    [['--resume'], /^locmoe: --init starts a new run .*, --resume goes on from one: give one of the two/],
  ] as const) {
    const args = ['--config', path.join(folder, 'micro.yaml'), '--data-dir', data, '--init', origin];
    const runs = ['--runs-dir', path.join(folder, 'runs'), '--workers-per-node', '1', '--nodes', '1'];
    const { code, stdout, stderr } = await locmoe('train', ...args, ...runs, ...given);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(line);
    expect(stderr.trimEnd()).not.toContain('\n');
  }
  expect(newestRun(folder)).toBe(origin);
  expect(existsSync(data)).toBe(false);
});
