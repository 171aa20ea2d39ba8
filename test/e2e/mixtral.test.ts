import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DATA_DIR, locmoe, lossCurve, temporaryFolder, trainToTheEnd } from './support.js';

// The family by commands. test/worker/layouts.test.ts holds it to the layout law.

const OPTIONS = {
  nodes: 2,
  workersPerNode: 1,
  sets: [
    'model.family=mixtral',
    'model.numKeyValueHeads=1',
    'moe.expertsPerToken=2',
    'train.steps=20',
    'train.checkpointEvery=10',
  ],
};
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-mixtral-'));
let run: string;
beforeAll(async () => {
  run = await trainToTheEnd({ folder, ...OPTIONS });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Losses by domain of each validation. */
function validationsOf(directory: string): { readonly domain: string; readonly loss: number }[][] {
  const lines = readFileSync(path.join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n');
  return lines
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'validation')
    .map(({ domains }) => domains);
}

it('learns, and goes on from a checkpoint to the same end, to the bit', async () => {
  const curve = lossCurve(run);
  expect(curve.get(20)!).toBeLessThan(curve.get(1)! - 0.5);
  const resume = path.join(run, 'checkpoints/step-000010');
  const forked = await trainToTheEnd({ folder: temporaryFolder(), ...OPTIONS, resume, more: ['--fork'] });
  expect([...lossCurve(forked)]).toEqual([...curve].slice(10));
});

it('generates, and has the loss of the last validation', async () => {
  const text = await locmoe('generate', '--checkpoint', run, '--domain', 'en', '--prompt', 'The state');
  expect(text.code, text.stderr).toBe(0);
  expect(text.stdout).toMatch(/^The state[\s\S]{20}/);
  const domains = validationsOf(run).at(-1)!;
  const evaluated = await locmoe('eval', '--checkpoint', run);
  expect(evaluated.code, evaluated.stderr).toBe(0);
  expect(domains).toHaveLength(2);
  for (const { domain, loss } of domains)
    expect(Number(new RegExp(`${domain} +([\\d.]+)`).exec(evaluated.stdout)![1])).toBeCloseTo(loss, 3);
});

it('goes on alike as the part that one domain uses', async () => {
  const part = path.join(folder, 'part');
  const made = await locmoe(
    ...['export', '--checkpoint', run, '--sub-model', '--domain', 'en', '--output', part],
  );
  expect(made.code, made.stderr).toBe(0);
  const textOf = async (checkpoint: string) => {
    const options = ['--domain', 'en', '--prompt', 'The state', '--temperature', '0', '--max-tokens', '12'];
    const { code, stdout, stderr } = await locmoe('generate', '--checkpoint', checkpoint, ...options);
    expect(code, stderr).toBe(0);
    return stdout;
  };
  expect(await textOf(part)).toBe(await textOf(run));
});

it('goes on from the HuggingFace folder that the part becomes, with its loss', async () => {
  const published = path.join(folder, 'published');
  const made = await locmoe(
    ...['export', '--checkpoint', path.join(folder, 'part'), '--to', 'huggingface', '--output', published],
  );
  expect(made.code, made.stderr).toBe(0);
  const evaluated = await locmoe('eval', '--checkpoint', path.join(folder, 'part'), '--json');
  const [{ loss }] = JSON.parse(evaluated.stdout).domains;

  const runs = path.join(folder, 'from-huggingface');
  const sets = ['data.domains=[en]', 'data.maxBytesPerDomain=100000', 'train.steps=2', 'train.globalBatch=8'];
  const { code, stdout, stderr } = await locmoe(
    ...['train', '--init', published, '--runs-dir', runs, '--data-dir', DATA_DIR, '--workers-per-node', '2'],
    ...sets.flatMap((set) => ['--set', set]),
  );
  expect(code, stdout + stderr).toBe(0);
  expect(validationsOf(path.join(runs, readdirSync(runs)[0]!))[0]![0]!.loss).toBeCloseTo(loss, 4);
});

it.each(['onnx', 'web'])('is refused by an export to %s', async (target) => {
  const output = path.join(folder, target);
  const { code, stderr } = await locmoe('export', '--checkpoint', run, '--to', target, '--output', output);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^locmoe: --to \w+: export of the family mixtral is not there yet[^\n]*\n$/);
});
