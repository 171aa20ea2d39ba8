import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
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
  for (const name of ['architecture', 'cluster', 'observability', 'planning'])
    writeFileSync(
      path.join(folder, `notes/${name}.txt`),
      readFileSync(path.join(ROOT, `docs/${name}.md`), 'utf8'),
    );
  const dataDir = path.join(folder, 'data');
  const config = own('notes: { files: "notes/**/*.txt" }').replace('docs', 'notes');
  const run = await trainToTheEnd({ folder, config, dataDir, ...layout, sets: ['train.steps=2'] });

  writeFileSync(path.join(folder, 'notes/more.txt'), readFileSync(path.join(ROOT, 'docs/page.md'), 'utf8'));
  // Prepares the changed text as the configuration asks: with a tokenizer that is trained on it.
  const configFile = path.join(folder, 'micro.yaml');
  const inspected = await locmoe('data', 'inspect', '--config', configFile, '--data-dir', dataDir);
  expect(inspected.code, inspected.stderr).toBe(0);
  const resumed = await new Locmoe(
    ['train', '--resume', run, '--set', 'train.steps=4', '--no-samples', '--data-dir', dataDir],
    {},
    undefined,
    folder,
  ).finished;
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stdout).toMatch(/data: preparing notes.*\n.*tokens for training/);
  expect(resumed.stderr).toMatch(/has trained on other text of notes; it goes on with what is there now/);
  const tokenizers = ['step-000002', 'step-000004'].map((step) =>
    readFileSync(path.join(run, 'checkpoints', step, 'tokenizer.json'), 'utf8'),
  );
  expect(tokenizers[1]).toBe(tokenizers[0]);
  const evaluated = await locmoe('eval', '--checkpoint', run, '--data-dir', dataDir);
  expect(evaluated.code, evaluated.stderr).toBe(0);
  expect(evaluated.stderr).toBe('');
});

it('Ctrl-C ends the preparation of a large text at once, and what is done is not done again', async () => {
  const folder = temporaryFolder();
  const words = readFileSync(path.join(ROOT, 'docs/planning.md'), 'utf8').match(/\S+/g)!;
  writeFileSync(path.join(folder, 'tokenizer.json'), tokenizerJson(trainBpe([words.join(' ')], 300)));
  const line = (i: number) =>
    Array.from({ length: 40 }, (_, k) => words[(i * 31 + k * 17 + i * k) % words.length]).join(' ');
  const text = Array.from({ length: 40_000 }, (_, i) => line(i)).join('\n');
  writeFileSync(path.join(folder, 'large.txt'), text);
  const config = own('large: { files: large.txt, separator: "\\n" }')
    .replace(' vocabSize: 512,', '')
    .replace('] }', '], tokenizer: tokenizer.json }');
  const dataDir = path.join(folder, 'data');
  const args = trainArguments({ folder, config, dataDir, ...layout, sets: ['train.steps=1'] });
  const shards = (): string[] => {
    try {
      return readdirSync(path.join(dataDir, 'shards')).filter((name) => name.endsWith('.shard'));
    } catch {
      return [];
    }
  };
  const first = new Locmoe(args);
  while (shards().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  const interruptedAt = performance.now();
  first.interrupt();
  const { code, stderr } = await first.finished;
  expect(performance.now() - interruptedAt).toBeLessThan(60_000);
  expect(code).toBe(130);
  expect(stderr).toBe('locmoe: SIGINT: ended while the data were prepared\n');
  await first.expectNothingLeft();
  expect(readdirSync(dataDir)).toEqual(['shards']);
  const done = shards();
  const second = await new Locmoe(args).finished;
  expect(second.code, second.stderr).toBe(0);
  expect(shards()).toEqual(expect.arrayContaining(done));
});
