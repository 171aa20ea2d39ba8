import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { mergedCheckpoint } from '../../src/checkpoint/merged.js';
import { readSafetensorsHeader } from '../../src/checkpoint/safetensors.js';
import { isOfPair } from '../../src/parameters/low-rank-pair.js';
import { runCommand } from '../run-command.js';
import { Locmoe, lossCurve, newestRun, trainToTheEnd } from './support.js';

const PAIRS: readonly (readonly [string, string])[] = [
  ['What is the capital of Brellin?', 'Oakhaven'],
  ['Who keeps the northern light?', 'old Maren'],
  ['Which metal floats on the lake?', 'ferrine'],
  ['How many moons has Tarv?', 'seven'],
];
const STEPS = 50;
/** These settings learn fast, with a schedule that does not depend on the number of steps. */
const SETS = [
  'train.learningRate=0.01',
  'train.schedule=constant',
  'train.warmupSteps=0',
  'train.globalBatch=4',
  'train.earlyStop=null',
  'train.validateEvery=100',
  'train.checkpointEvery=100',
  'train.freeze=[layers.0]',
];

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-fine-tune-'));
const samples = path.join(folder, 'qa.jsonl');
const QUIET = ['--no-http', '--no-samples'];
let origin: string;
beforeAll(async () => {
  const sets = ['data.domains=[en]', 'moe.expertGroups=1', 'train.steps=1', 'model.seqLen=96'];
  origin = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets });
  writeFileSync(samples, linesOf(PAIRS));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function linesOf(pairs: typeof PAIRS): string {
  return pairs.map(([prompt, completion]) => JSON.stringify({ prompt, completion })).join('\n');
}

/** Starts `locmoe` in the folder of its runs and samples. */
const started = (...args: readonly string[]) => new Locmoe(args, {}, undefined, folder);

async function train(...args: readonly string[]): Promise<{ readonly stdout: string; readonly run: string }> {
  const { code, stdout, stderr } = await started('train', ...args, ...QUIET).finished;
  expect(code, stdout + stderr).toBe(0);
  return { stdout, run: newestRun(folder) };
}

function tune(workers: number, ...sets: readonly string[]) {
  const validation = 'data.sources.qa.instruct.validation=[qa.jsonl]';
  const options = [...SETS, validation, ...sets].flatMap((set) => ['--set', set]);
  return train('--instruct', 'qa.jsonl', '--init', origin, '--workers-per-node', `${workers}`, ...options);
}

let tuned: string;

it('a checkpoint is fine-tuned on questions and answers until it knows them, by command and over HTTP', async () => {
  const { stdout, run } = await tune(1, `train.steps=${STEPS}`);
  tuned = run;
  expect(stdout).toMatch(/^samples: 1 file, \S+ kB, as domain qa\nrecipe: 50 steps of 4 sequences/);
  expect(stdout).toMatch(/^qa: 4 samples to train on in 2 sequences of 96 tokens \(\d+\S* % full\)$/m);
  expect(stdout).toMatch(/^19,200 tokens seen, [\d,]+ of them in the loss: those of answers$/m);
  const [first] = readRecords(path.join(run, 'metrics.ndjson')).filter(({ type }) => type === 'step');
  expect(first).toMatchObject({ tokens: 384, answerTokens: expect.any(Number) });
  const [[prompt, answer]] = PAIRS;
  const options = ['--prompt', prompt, '--temperature', '0', '--max-tokens', '20'];
  expect((await runCommand('generate', '--checkpoint', run, ...options)).stdout).toBe(`${answer}\n`);

  const api = started('api', '--checkpoint', run, '--port', '0');
  const [, baseURL] = await api.until(/^api: (http:\S+)$/m);
  const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
  const [{ id: model }] = (await client.models.list()).data;
  for (const [content, completion] of PAIRS) {
    const asked = { model, temperature: 0, messages: [{ role: 'user' as const, content }] };
    const [{ message, finish_reason }] = (await client.chat.completions.create(asked)).choices;
    expect([message.content, finish_reason]).toEqual([completion, 'stop']);
  }
  api.interrupt();
  expect((await api.finished).code).toBe(0);
});

it('two ranks tune alike, and what is frozen stays', async () => {
  const { run } = await tune(2, 'train.steps=2', 'train.microBatches=2');
  for (const step of [1, 2])
    expect(lossCurve(run).get(step)! / lossCurve(tuned).get(step)!).toBeCloseTo(1, 4);
  const [before, after] = [`${origin}/checkpoints/step-000001`, `${run}/checkpoints/step-000002`].map(
    openCheckpoint,
  );
  expect(after.read('layers.0.ffn.w_in')).toEqual(before.read('layers.0.ffn.w_in'));
  expect(after.read('query.ffn.w_in')).not.toEqual(before.read('query.ffn.w_in'));
});

it('low-rank pairs are tuned, gone on from, merged into an export, and refused at another rank', async () => {
  const { stdout, run } = await tune(
    1,
    'train.steps=1',
    'train.lora={rank: 4, on: [attention, experts]}',
    'train.freeze=[]',
  );
  expect(stdout).toMatch(
    /^trained: [\d,]+ of [\d,]+ parameters of a rank \([\d.]+ %\), with gradients and moments of [\d.]+ kB$/m,
  );
  await train('--resume', run, '--set', 'train.steps=2');
  expect([...lossCurve(run).keys()]).toEqual([1, 2]);

  const output = path.join(folder, 'exported');
  const exported = await runCommand('export', '--checkpoint', run, '--to', 'huggingface', '--output', output);
  expect(exported).toMatchObject({ code: 0, stderr: '' });
  const { tensors } = readSafetensorsHeader(path.join(output, 'model.safetensors'));
  expect([...tensors.keys()].filter(isOfPair)).toEqual([]);
  const base = openCheckpoint(`${origin}/checkpoints/step-000001`);
  const merged = mergedCheckpoint(openCheckpoint(`${run}/checkpoints/step-000002`));
  expect(merged.read('layers.0.ffn.w_in')).toEqual(base.read('layers.0.ffn.w_in'));
  expect(merged.read('layers.0.attn.qkv')).not.toEqual(base.read('layers.0.attn.qkv'));

  const another = ['--resume', run, '--set', 'train.steps=50', '--set', 'train.lora.rank=8'];
  const refused = await runCommand('train', ...another, '--data-dir', path.join(folder, 'data'));
  expect(refused.code).toBe(2);
  expect(refused.stderr.trimEnd()).toMatch(
    /: train\.lora is \{"rank":4,\S+\} there and \{"rank":8,\S+\} in this run$/,
  );
});

it('samples and settings that cannot be used are refused by name, and the recipe is printed', async () => {
  const bad = path.join(folder, 'bad.jsonl');
  writeFileSync(bad, `${linesOf(PAIRS.slice(0, 1))}\n{"prompt": "a", "completion": ""}\n`);
  const refusals = [
    [['--instruct', bad], /^locmoe: \S+bad\.jsonl:2 completion: is empty$/],
    [
      ['--instruct', samples, '--set', 'train.freeze=[embedding]'],
      /^locmoe: train\.freeze: "embedding" names no parameter; /,
    ],
  ] as const;
  // Preparing text starts threads from the built files, so these commands run as processes.
  const tried = refusals.map(([args]) => started('train', '--init', origin, ...args).finished);
  for (const [i, { code, stderr }] of (await Promise.all(tried)).entries())
    expect([code, stderr.trimEnd()]).toEqual([2, expect.stringMatching(refusals[i]![1])]);
  const printed = await runCommand('train', '--init', origin, '--instruct', samples, '--print-config');
  expect(printed.stdout).toMatch(/^# Made by --instruct for 1 file[\s\S]*instruct:/);
});
