import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { Locmoe, locmoe, MICRO, ROOT, temporaryFolder, trainArguments, trainToTheEnd } from './support.js';

const own = (domain: string): string =>
  MICRO.replace('expertGroups: 2', 'expertGroups: 1').replace(/data: .*/, `data: { domains: [${domain}] }`);
const layout = { nodes: 1, workersPerNode: 1 };

it('trains on files beside the configuration, and goes on with the same tokenizer when they have changed', async () => {
  const folder = temporaryFolder();
  mkdirSync(path.join(folder, 'notes'));
  const copy = (name: string) =>
    copyFileSync(path.join(ROOT, `docs/${name}.md`), path.join(folder, `notes/${name}.txt`));
  for (const name of ['architecture', 'cluster', 'observability', 'planning']) copy(name);
  const dataDir = path.join(folder, 'data');
  const config = own('notes: { files: "notes/**/*.txt" }');
  const run = await trainToTheEnd({ folder, config, dataDir, ...layout, sets: ['train.steps=1'] });

  copy('page');
  // Prepares the changed text as the configuration asks: with a tokenizer that is trained on it.
  const configFile = path.join(folder, 'micro.yaml');
  const inspected = await locmoe('data', 'inspect', '--config', configFile, '--data-dir', dataDir);
  expect(inspected.code, inspected.stderr).toBe(0);
  const resumed = await new Locmoe(
    ['train', '--resume', run, '--set', 'train.steps=2', '--no-samples', '--data-dir', dataDir],
    {},
    undefined,
    folder,
  ).finished;
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stdout).toMatch(/data: preparing notes.*\n.*tokens for training/);
  expect(resumed.stderr).toMatch(/has trained on other text of notes; it goes on with what is there now/);
  const tokenizers = ['step-000001', 'step-000002'].map((step) =>
    readFileSync(path.join(run, 'checkpoints', step, 'tokenizer.json'), 'utf8'),
  );
  expect(tokenizers[1]).toBe(tokenizers[0]);
  const evaluated = await locmoe('eval', '--checkpoint', run, '--data-dir', dataDir);
  expect(evaluated.code, evaluated.stderr).toBe(0);
  expect(evaluated.stderr).toBe('');
});

it('Ctrl-C ends the preparation of a large text at once, and keeps what is done', async () => {
  const folder = temporaryFolder();
  const words = readFileSync(path.join(ROOT, 'docs/planning.md'), 'utf8').match(/\S+/g)!;
  writeFileSync(path.join(folder, 'tokenizer.json'), tokenizerJson(trainBpe([words.join(' ')], 300)));
  const text = Array.from({ length: 800_000 }, (_, i) => words[(i * i * 17 + i) % words.length]).join(' ');
  // The part of the short text is done long before that of the other.
  writeFileSync(path.join(folder, 'text-a.txt'), text.slice(0, 20_000));
  writeFileSync(path.join(folder, 'text-b.txt'), text);
  const config = own('large: { files: text-*.txt }')
    .replace(' vocabSize: 512,', '')
    .replace('] }', '], tokenizer: tokenizer.json }');
  const dataDir = path.join(folder, 'data');
  const run = new Locmoe(trainArguments({ folder, config, dataDir, ...layout }));
  const shards = path.join(dataDir, 'shards');
  const done = () =>
    existsSync(shards) ? readdirSync(shards).filter((name) => name.endsWith('.shard')) : [];
  await expect.poll(done, { interval: 20 }).toHaveLength(1);
  run.interrupt();
  const { code, stderr } = await run.finished;
  expect([code, stderr]).toEqual([130, 'locmoe: SIGINT: ended while the data were prepared\n']);
  await run.expectNothingLeft();
  expect(readdirSync(dataDir)).toEqual(['shards']);
  expect(done()).toHaveLength(1);
});
