import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';
import { Locmoe, newestRun, ROOT, temporaryFolder } from './support.js';

const run = (folder: string, ...args: string[]) => new Locmoe(args, {}, undefined, folder).finished;

it('trains on files without a configuration, which can be saved, and with its weights on other text', async () => {
  const folder = temporaryFolder();
  for (const name of ['architecture.md', 'extending.md', 'results/plan.md'])
    cpSync(path.join(ROOT, 'docs', name), path.join(folder, 'notes', name));
  const what = ['--text', 'notes/*.md', '--set', 'train.steps=2', '--workers-per-node', '1'];
  const trained = await run(folder, 'train', ...what, '--no-samples', '--no-http');
  expect(trained.code, trained.stderr).toBe(0);
  expect(trained.stdout).toMatch(/^text: \d+ files, \d+ kB, as domain notes\nrecipe: vocabulary \d+/);
  expect(trained.stdout).toMatch(
    /^length: 2 steps of [\d,]+ tokens, 0\.\d+ passes over [\d,]+ tokens of text$/m,
  );
  const first = newestRun(folder);
  const config = (place: string) => JSON.parse(readFileSync(path.join(place, 'config.json'), 'utf8'));
  const { model, train } = config(first);
  const [line, seen, held] = /^validation at .* on ([\d,]+) of ([\d,]+) held-out tokens$/m.exec(
    trained.stdout,
  )!;
  // Validation reads all held-out text, or as much as a tenth of the training time allows.
  const [numSeen, numHeld] = [seen!, held!].map((count) => Number(count.replaceAll(',', '')));
  // What does not fill a window at the end is left out.
  const most = Math.min(numHeld! - model.seqLen, train.validationSequences * model.seqLen);
  expect(numSeen, line).toBeGreaterThanOrEqual(most);
  expect(most / numHeld!, line).toBeGreaterThan(0.5);

  const printed = await run(folder, 'train', ...what, '--print-config');
  expect(printed.code, printed.stderr).toBe(0);
  expect(resolveConfig(printed.stdout, path.join(folder, 'notes.yaml'))).toEqual(config(first));

  // Training on other text uses the model and tokenizer of the first run.
  const more = ['--text', 'notes/*.md', 'notes/results/*.md', '--init', first, '--set', 'train.steps=1'];
  const tuned = await run(folder, 'train', ...more, '--no-samples', '--no-http');
  expect(tuned.code, tuned.stderr).toBe(0);
  expect(tuned.stdout).toMatch(/^validation at step 0: loss \d\.\d+ /m);
  expect(config(newestRun(folder)).model).toEqual(model);
});

it('trains on several domains, of which one has the name of a built-in one', async () => {
  const folder = temporaryFolder();
  cpSync(path.join(ROOT, 'docs/extending.md'), path.join(folder, 'notes/a.md'));
  cpSync(path.join(ROOT, 'src/routing/routers'), path.join(folder, 'src'), { recursive: true });
  const what = ['--text', 'notes=notes/*.md', '--text', 'code=src/**/*.ts', '--set', 'train.steps=1'];
  const { code, stdout, stderr } = await run(folder, 'train', ...what, '--no-http');
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^text: \d+ files, \d+ kB, as domain notes, code$/m);
  expect(stdout).toMatch(/^ {2}code: .+ >>> /m);
});

it('a served run goes on at a restart though its text has grown', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'text.txt');
  const write = (lines: number) =>
    writeFileSync(file, Array.from({ length: lines }, (_, i) => `Line ${i} has ${i * i}.`).join('\n'));
  write(600);
  const what = ['--text', 'text.txt', '--set', 'train.steps=100000', '--no-http', '--no-samples'];
  const first = new Locmoe(['train', ...what, '--workers-per-node', '1'], {}, undefined, folder);
  await first.until(/^step /m);
  first.interrupt();
  expect((await first.finished).code).toBe(130);
  // With this text the recipe would have a larger vocabulary and model.
  write(20_000);
  const serve = ['serve', ...what, '--listen', '127.0.0.1:0', '--resume-or-start'];
  const second = new Locmoe(serve, {}, undefined, folder);
  await second.until(/waiting for \d node/);
  second.interrupt();
  expect((await second.finished).code).toBe(130);
  expect(readdirSync(path.join(folder, 'runs'))).toHaveLength(1);
});
