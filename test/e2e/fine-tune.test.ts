import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import OpenAI from 'openai';
import { expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { mergedCheckpoint } from '../../src/checkpoint/merged.js';
import { readSafetensorsHeader } from '../../src/checkpoint/safetensors.js';
import { isOfPair } from '../../src/parameters/low-rank-pair.js';
import { type Finished, Locmoe, lossCurve, newestRun, temporaryFolder, trainToTheEnd } from './support.js';

const PAIRS: readonly (readonly [string, string])[] = [
  ['What is the capital of Brellin?', 'Oakhaven'],
  ['Who keeps the northern light?', 'old Maren'],
  ['Which metal floats on the lake?', 'ferrine'],
  ['How many moons has Tarv?', 'seven'],
];
const STEPS = 60;
/** Learns fast, by a schedule that does not depend on the number of steps. */
const SETS = [
  ...['train.learningRate=0.01', 'train.schedule=constant', 'train.warmupSteps=0', 'train.globalBatch=4'],
  ...['train.earlyStop=null', 'train.validateEvery=100', 'train.checkpointEvery=100'],
  ...['train.freeze=[layers.0]', 'data.sources.qa.instruct.validation=[qa.jsonl]'],
];

it('a checkpoint is fine-tuned on questions and answers until it knows them, alike on every layout', async () => {
  const folder = temporaryFolder();
  const locmoe = (...args: readonly string[]): Promise<Finished> =>
    new Locmoe(args, {}, undefined, folder).finished;
  const origin = await trainToTheEnd({
    folder,
    nodes: 1,
    workersPerNode: 1,
    sets: ['data.domains=[en]', 'moe.expertGroups=1', 'train.steps=5', 'model.seqLen=96'],
  });
  const lines = PAIRS.map(([prompt, completion]) => JSON.stringify({ prompt, completion }));
  writeFileSync(path.join(folder, 'qa.jsonl'), lines.join('\n'));
  const start = ['train', '--instruct', 'qa.jsonl', '--init', origin];
  const tune = async (workers: string, ...sets: string[]) => {
    const args = [...SETS, ...sets].flatMap((set) => ['--set', set]);
    const own = [...start, '--workers-per-node', workers, ...args, '--no-http', '--no-samples'];
    const { code, stdout, stderr } = await locmoe(...own);
    expect(code, stdout + stderr).toBe(0);
    return { stdout, run: newestRun(folder) };
  };

  const tuned = await tune('1', `train.steps=${STEPS}`);
  expect(tuned.stdout).toMatch(/^samples: 1 file, \S+ kB, as domain qa\nrecipe: 60 steps of 4 sequences/);
  expect(tuned.stdout).toMatch(/^qa: 4 samples to train on in 2 sequences of 96 tokens \(\d+\S* % full\)$/m);
  expect(tuned.stdout).toMatch(/^23,040 tokens seen, [\d,]+ of them in the loss: those of answers$/m);
  const [first] = readRecords(path.join(tuned.run, 'metrics.ndjson')).filter(({ type }) => type === 'step');
  expect(first).toMatchObject({ tokens: 384, answerTokens: expect.any(Number) });
  const [[prompt, completion]] = PAIRS;
  const asked = ['--prompt', prompt, '--temperature', '0', '--max-tokens', '20'];
  expect((await locmoe('generate', '--checkpoint', tuned.run, ...asked)).stdout).toBe(`${completion}\n`);

  const api = new Locmoe(['api', '--checkpoint', tuned.run, '--port', '0'], {}, undefined, folder);
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

  const two = await tune('2', 'train.steps=3', 'train.microBatches=2');
  const [curve, other] = [lossCurve(tuned.run), lossCurve(two.run)];
  for (const step of [1, 2, 3]) expect(other.get(step)! / curve.get(step)!).toBeCloseTo(1, 4);
  const [before, after] = [`${origin}/checkpoints/step-000005`, `${two.run}/checkpoints/step-000003`].map(
    openCheckpoint,
  );
  expect(after.read('layers.0.ffn.w_in')).toEqual(before.read('layers.0.ffn.w_in'));
  expect(after.read('query.ffn.w_in')).not.toEqual(before.read('query.ffn.w_in'));

  const resumed = await locmoe(
    'train',
    '--resume',
    two.run,
    '--set',
    'train.steps=4',
    '--no-http',
    '--no-samples',
  );
  expect(resumed.code, resumed.stderr).toBe(0);
  expect([...lossCurve(two.run).keys()]).toEqual([1, 2, 3, 4]);

  const lora = ['train.lora={rank: 4, on: [attention, experts]}', 'train.freeze=[]'];
  const pairs = await tune('2', 'train.steps=3', ...lora);
  expect(pairs.stdout).toMatch(
    /^trained: [\d,]+ of [\d,]+ parameters of a rank \([\d.]+ %\), with gradients and moments of [\d.]+ kB$/m,
  );
  const [onward, exported] = await Promise.all([
    locmoe('train', '--resume', pairs.run, '--set', 'train.steps=4', '--no-http', '--no-samples'),
    locmoe('export', '--checkpoint', pairs.run, '--to', 'huggingface', '--output', 'exported'),
  ]);
  expect([onward.code, exported.code], onward.stderr + exported.stderr).toEqual([0, 0]);
  const [base, merged] = [before, mergedCheckpoint(openCheckpoint(`${pairs.run}/checkpoints/step-000003`))];
  const { tensors } = readSafetensorsHeader(path.join(folder, 'exported', 'model.safetensors'));
  expect([...tensors.keys()].filter(isOfPair)).toEqual([]);
  expect(merged.read('layers.0.ffn.w_in')).toEqual(base.read('layers.0.ffn.w_in'));
  expect(merged.read('layers.0.attn.qkv')).not.toEqual(base.read('layers.0.attn.qkv'));

  writeFileSync(path.join(folder, 'bad.jsonl'), `${lines[0]}\n{"prompt": "a", "completion": ""}\n`);
  const refusals: readonly (readonly [string[], RegExp])[] = [
    [
      ['train', '--instruct', 'bad.jsonl', '--init', origin],
      /^locmoe: \S+bad\.jsonl:2 completion: is empty$/,
    ],
    [
      ['train', '--resume', pairs.run, '--set', 'train.steps=50', '--set', 'train.lora.rank=8'],
      /: train\.lora is \{"rank":4,\S+\} there and \{"rank":8,\S+\} in this run$/,
    ],
    [
      [...start, '--set', 'train.freeze=[embedding]'],
      /^locmoe: train\.freeze: "embedding" names no parameter; /,
    ],
  ];
  const refused = await Promise.all(refusals.map(([args]) => locmoe(...args)));
  refusals.forEach(([, message], i) => {
    expect(refused[i].code).toBe(2);
    expect(refused[i].stderr.trimEnd()).toMatch(message);
  });
  const printed = await locmoe(...start, '--print-config');
  expect(printed.stdout).toMatch(/^# Made by --instruct for 1 file[\s\S]*instruct:/);
});
