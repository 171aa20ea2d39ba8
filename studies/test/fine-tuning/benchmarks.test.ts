import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { benchmarksAtHand } from '../../fine-tuning/material.js';
import { modelsOf } from '../../fine-tuning/study.js';

it('reads what the folder has, and names what it has not', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-benchmarks-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const ops = { id: 'Wired-1', question: 'Which?', choices: ['one', 'two'], answer: 'B' };
  for (const name of ['opseval-test-a.json', 'opseval-test-b.json', 'opseval-dev-a.json'])
    writeFileSync(path.join(folder, name), JSON.stringify([ops]));
  mkdirSync(path.join(folder, 'hamexam/T'), { recursive: true });
  writeFileSync(
    path.join(folder, 'hamexam/T/T1A01'),
    'T1A01 (C)\nWhich?\nA. one\nB. two\nC. three\nD. four\n',
  );

  const { benchmarks, missing } = await benchmarksAtHand(folder);
  expect(missing).toContain('TeleQnA');
  const files = Object.fromEntries(
    benchmarks.map(({ name, tasks }) => [name, tasks.map(({ file }) => path.relative(folder, file))]),
  );
  expect(files).toMatchObject({
    OpsEval: ['opseval-test-a.json', 'opseval-test-b.json'],
    hamexam: ['hamexam'],
  });

  const file = path.join(folder, 'opseval-test-a.json');
  await expect(benchmarksAtHand(file)).rejects.toThrow(`LOCMOE_EVAL_DATA ${file} is no folder`);
  await expect(benchmarksAtHand(path.join(folder, 'nowhere'))).rejects.toThrow(/nowhere cannot be read/);
  writeFileSync(file, '[');
  await expect(benchmarksAtHand(folder)).rejects.toThrow(/opseval-test-a\.json.* is no JSON/);
});

it('trains all routers of a seed, or those that are named', () => {
  const names = (only: readonly string[]) => modelsOf(only, 2).map(({ router, seed }) => `${router} ${seed}`);
  expect(names([])).toHaveLength(10);
  expect(names(['locmoe-plus', 'switch'])).toEqual([
    ...['switch 1', 'locmoe-plus 1', 'switch 2', 'locmoe-plus 2'],
  ]);
  expect(() => names(['hash'])).toThrow('--only hash: expected one of switch, locmoe, ');
});
