import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { runCommand } from '../run-command.js';
import { Locmoe, locmoe, MICRO, pasted, ROOT, trainToTheEnd } from './support.js';

// All tests use a model of one domain with the tokenizer of another model, from a HuggingFace folder.

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-generate-'));
const dataDir = path.join(folder, 'data');
let run: string;
let tokenizer: string;
beforeAll(async () => {
  tokenizer = tokenizerJson(trainBpe([readFileSync('README.md', 'utf8')], 300)).replaceAll(
    '<|endoftext|>',
    '<|stop|>',
  );
  const place = path.join(folder, 'tokenizer');
  mkdirSync(place);
  writeFileSync(path.join(place, 'tokenizer.json'), tokenizer);
  writeFileSync(path.join(place, 'tokenizer_config.json'), '{"eos_token":"<|stop|>"}');
  const data = `{ domains: [docs: { folder: ${ROOT}, files: docs/*.md }], tokenizer: tokenizer }`;
  const config = MICRO.replace('vocabSize: 512, ', '').replace(/data: .*/, `data: ${data}`);
  const sets = ['moe.expertGroups=1', 'moe.router=locmoe-plus', 'train.steps=10', 'train.checkpointEvery=5'];
  run = await trainToTheEnd({ folder, config, dataDir, nodes: 1, workersPerNode: 1, sets });
  // From here on there is neither the tokenizer nor the prepared dataset.
  rmSync(place, { recursive: true });
  rmSync(dataDir, { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const generate = (...args: string[]) => runCommand('generate', '--checkpoint', run, ...args);

it('needs no domain of a model that has one, and prints the same with --prompt -', async () => {
  const text = await generate('--max-tokens', '60', '--prompt', 'The state');
  expect(text.code, text.stderr).toBe(0);
  expect(text.stdout).toMatch(/^The state[\s\S]{20}/);
  // The line break that `echo` appends is not part of the prompt.
  const piped = await pasted(
    `echo 'The state' | locmoe generate --checkpoint ${run} --max-tokens 60 --prompt -`,
  ).finished;
  expect(piped).toMatchObject({ code: 0, stdout: text.stdout });
});

it('goes on from all that was said, line by line', async () => {
  const command = `locmoe generate --checkpoint ${run} --max-tokens 10 --interactive`;
  const { code, stdout, stderr } = await pasted(`printf 'The\\nAnd' | ${command}`).finished;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [first] = stdout.split('\n');
  const alone = await generate('--max-tokens', '10', '--prompt', 'The');
  expect(`The${first}`).toBe(alone.stdout.split('\n')[0]);
  const said = `${alone.stdout.slice(0, -1)}\nAnd`;
  const second = await generate('--max-tokens', '10', '--prompt', said);
  expect(stdout).toBe(alone.stdout.slice('The'.length) + second.stdout.slice(said.length));
});

it('shows text as it comes, and ends at Ctrl-C with 130', async () => {
  const long = new Locmoe(['generate', '--checkpoint', run, '--prompt', 'The', '--max-tokens', '1000000']);
  await long.until(/^The[\s\S]{200}/);
  long.interrupt();
  const { code, stdout, stderr } = await long.finished;
  expect({ code, stderr }).toEqual({ code: 130, stderr: 'locmoe: SIGINT: ended\n' });
  expect(stdout.endsWith('\n')).toBe(true);
});

it('a training with the tokenizer of another model is judged and gone on with by the copy in its checkpoint', async () => {
  const first = path.join(run, 'checkpoints/step-000005');
  expect(readFileSync(path.join(first, 'tokenizer.json'), 'utf8')).toBe(tokenizer);
  const evaluated = await locmoe('eval', '--checkpoint', run, '--data-dir', dataDir, '--json');
  expect(evaluated.code, evaluated.stderr).toBe(0);
  const resumed = await locmoe(
    'train',
    '--resume',
    first,
    '--fork',
    '--set',
    'train.steps=6',
    '--no-samples',
    '--runs-dir',
    path.join(folder, 'forks'),
    '--data-dir',
    dataDir,
  );
  expect(resumed.code, resumed.stderr).toBe(0);
});
