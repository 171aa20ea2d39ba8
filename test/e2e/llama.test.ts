import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type MetricsRecordOf, readRecords } from '@locmoe/run-format';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Ran, runCommand } from '../run-command.js';
import { DATA_DIR, type Finished, locmoe, lossCurve, newestRun, trainToTheEnd } from './support.js';

// Tests the mixtral family, and the sub-model of a domain, through the command line on one rank.
// test/worker/layouts.test.ts holds the family to the layout law, and packages/export/test/sub-model.test.ts compares
// every router with the logits of the whole model.

const STEPS = 12;
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-mixtral-'));
const part = path.join(folder, 'code');
const data = ['--data-dir', DATA_DIR];
let run: string;
let ofPart: readonly DomainLoss[];
beforeAll(async () => {
  const family = ['model.family=llama', 'model.numKeyValueHeads=1', 'moe.expertsPerToken=2'];
  run = await trainToTheEnd({
    folder,
    nodes: 1,
    workersPerNode: 1,
    sets: [...family, `train.steps=${STEPS}`],
  });
  const cut = ['--checkpoint', run, '--sub-model', '--domain', 'code', '--output', part];
  expect(done(await runCommand('export', ...cut))).toMatch(
    /domain code: 2 of 4 experts in each sparse layer, [\d,]+ of [\d,]+ parameters/,
  );
  ofPart = await lossesOf(part);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function done({ code, stdout, stderr }: Ran | Finished): string {
  expect(code, stdout + stderr).toBe(0);
  return stdout;
}

function refused({ code, stdout, stderr }: Ran, pattern: RegExp): void {
  expect(code, stdout).not.toBe(0);
  expect(stderr).toMatch(pattern);
  expect(stderr.trimEnd()).not.toContain('\n');
}

interface DomainLoss {
  readonly domain: string;
  readonly loss: number;
}

/** Losses by domain of each validation. */
function validationsOf(directory: string): (readonly DomainLoss[])[] {
  const isValidation = (record: { type: string }): record is MetricsRecordOf<'validation'> =>
    record.type === 'validation';
  return readRecords(path.join(directory, 'metrics.ndjson'))
    .filter(isValidation)
    .map(({ domains }) => domains);
}

/** Losses of the validation text, which is prepared first if necessary. */
async function lossesOf(checkpoint: string): Promise<readonly DomainLoss[]> {
  return JSON.parse(done(await locmoe('eval', '--checkpoint', checkpoint, ...data, '--json'))).domains;
}

const generate = (checkpoint: string, domain: string) =>
  runCommand(
    'generate',
    '--checkpoint',
    checkpoint,
    '--domain',
    domain,
    '--prompt',
    'The state',
    '--temperature',
    '0',
    '--max-tokens',
    '12',
  );

/** Trains for one step from the weights of a folder. @returns the run */
async function trainedFrom(weights: string): Promise<string> {
  const of = mkdtempSync(path.join(folder, 'from-'));
  const sets = [
    'data.domains=[code]',
    'data.maxBytesPerDomain=100000',
    'train.steps=1',
    'train.globalBatch=8',
  ];
  done(
    await locmoe(
      'train',
      '--init',
      weights,
      '--runs-dir',
      path.join(of, 'runs'),
      ...data,
      '--workers-per-node',
      '1',
      '--no-samples',
      ...sets.flatMap((set) => ['--set', set]),
    ),
  );
  return newestRun(of);
}

it('learns, and has the loss of the last validation, of which the sub-model of a domain has its part', async () => {
  const curve = lossCurve(run);
  expect(curve.get(STEPS)!).toBeLessThan(curve.get(1)! - 0.3);
  const validated = validationsOf(run).at(-1)!;
  const whole = await lossesOf(run);
  expect(whole.map(({ domain }) => domain)).toEqual(['en', 'code']);
  for (const [i, { loss }] of whole.entries()) expect(loss).toBeCloseTo(validated[i]!.loss, 4);
  expect(ofPart).toMatchObject([{ domain: 'code', loss: expect.closeTo(whole[1]!.loss, 5) }]);
});

it('generates, and the sub-model the same for its domain alone', async () => {
  const text = done(await generate(run, 'code'));
  expect(text).toMatch(/^The state[\s\S]{5}/);
  expect(done(await generate(part, 'code'))).toBe(text);
  refused(await generate(part, 'en'), /^locmoe: --domain en: the model knows code$/m);
});

it('goes on from the sub-model, and from the HuggingFace folder that it becomes, with its loss', async () => {
  const published = path.join(folder, 'published');
  done(await runCommand('export', '--checkpoint', part, '--to', 'huggingface', '--output', published));
  const runs = [await trainedFrom(published), await trainedFrom(part)];
  for (const each of runs) expect(validationsOf(each)[0]![0]!.loss).toBeCloseTo(ofPart[0]!.loss, 3);
  const { moe } = JSON.parse(readFileSync(path.join(runs[1]!, 'config.json'), 'utf8'));
  expect(moe.subModel).toEqual({ domain: 'code', domains: ['en', 'code'] });
});

it('a sub-model is neither trained on another domain nor resumed', async () => {
  const training = ['--runs-dir', path.join(folder, 'runs'), ...data, '--no-samples'];
  refused(
    await runCommand('train', ...training, '--init', part, '--set', 'data.domains=[en]'),
    /data\.domains: en: this is the sub-model of code, without the experts of other domains/,
  );
  refused(
    await runCommand('train', ...training, '--resume', part, '--set', 'train.steps=6'),
    /has weights alone, so no run can go on from it; start one with them: --init$/m,
  );
});

it.each(['onnx', 'web'])('the model is exported to %s', async (target) => {
  const output = path.join(folder, target);
  done(await runCommand('export', '--checkpoint', run, '--to', target, '--output', output));
});
