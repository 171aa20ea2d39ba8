import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { locmoe, MICRO, ROOT, temporaryFolder, trainToTheEnd } from './support.js';

it('trains with a tokenizer of another model, and everything after it does with the copy in the checkpoint', async () => {
  const folder = temporaryFolder();
  const text = readFileSync('README.md', 'utf8');
  const place = path.join(folder, 'tokenizer');
  mkdirSync(place);
  const file = path.join(place, 'tokenizer.json');
  writeFileSync(file, tokenizerJson(trainBpe([text], 300)).replaceAll('<|endoftext|>', '<|stop|>'));
  writeFileSync(path.join(place, 'tokenizer_config.json'), '{"eos_token":"<|stop|>"}');
  const config = MICRO.replace('vocabSize: 512, ', '')
    .replace('expertGroups: 2', 'expertGroups: 1')
    .replace(
      /data: .*/,
      `data: { domains: [docs: { folder: ${ROOT}, files: docs/*.md }], tokenizer: tokenizer }`,
    );
  const dataDir = path.join(folder, 'data');
  const layout = { nodes: 1, workersPerNode: 1, sets: ['train.steps=4', 'train.checkpointEvery=2'] };
  const run = await trainToTheEnd({ folder, config, dataDir, ...layout });
  const copy = readFileSync(path.join(run, 'checkpoints/step-000002/tokenizer.json'), 'utf8');
  expect(copy).toBe(readFileSync(file, 'utf8'));

  // Neither the tokenizer nor the prepared dataset is there any more.
  rmSync(place, { recursive: true });
  rmSync(dataDir, { recursive: true });
  const generated = await locmoe(
    'generate',
    '--checkpoint',
    run,
    '--domain',
    'docs',
    '--prompt',
    'The',
    '--max-tokens',
    '4',
  );
  expect(generated.code, generated.stderr).toBe(0);
  const evaluated = await locmoe('eval', '--checkpoint', run, '--data-dir', dataDir, '--json');
  expect(evaluated.code, evaluated.stderr).toBe(0);
  const resumed = await locmoe(
    ...['train', '--resume', path.join(run, 'checkpoints/step-000002'), '--fork', '--no-samples'],
    ...['--runs-dir', path.join(folder, 'forks'), '--data-dir', dataDir],
  );
  expect(resumed.code, resumed.stderr).toBe(0);
});
