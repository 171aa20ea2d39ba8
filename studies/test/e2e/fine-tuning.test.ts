import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, Locmoe, MICRO } from '../../../test/e2e/support.js';
import { isLearned } from '../../fine-tuning/material.js';
import { STUDY, temporaryFolder } from '../support.js';

const NUM_QUESTIONS = 60;

/** A text that is learned, or is held out. */
function textOn(side: 'learned' | 'held out', textOf: (k: number) => string): string {
  for (let k = 0; ; k++) if (isLearned({ text: textOf(k) }) === (side === 'learned')) return textOf(k);
}

/** Two of its questions have 13 words in common, and are on different sides. */
function teleQnA(): string {
  const common = 'how long does a base station wait for an answer before it asks the terminal again';
  const texts = [
    textOn('learned', (k) => `In release ${k}: ${common}?`),
    textOn('held out', (k) => `In release ${k}: ${common}?`),
    ...Array.from({ length: NUM_QUESTIONS }, (_, i) => `What is timer T${i} for?`),
  ];
  const questions = texts.map((question, i) => [
    `question ${i}`,
    {
      question,
      'option 1': 'a call',
      'option 2': 'a handover',
      'option 3': 'paging',
      category: 'Lexicon',
      answer: `option ${(i % 3) + 1}: text`,
      explanation: 'It ends with it.',
    },
  ]);
  return JSON.stringify(Object.fromEntries(questions));
}

it('trains, asks, fine-tunes, asks again, and goes on from what is finished', async () => {
  const folder = temporaryFolder();
  const evalData = path.join(folder, 'eval');
  mkdirSync(evalData);
  writeFileSync(path.join(evalData, 'TeleQnA.txt'), teleQnA());
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO);
  const bench = () =>
    new Locmoe(
      [
        ...['fine-tuning', '--quick', '--config', config, '--steps', '3', '--tune-steps', '2'],
        ...['--only', 'locmoe-plus', '--set', 'moe.capacityFactor=1.1'],
        ...['--work-dir', folder, '--data-dir', DATA_DIR],
      ],
      { LOCMOE_EVAL_DATA: evalData },
      STUDY,
    ).finished;
  const first = await bench();
  expect(first.code, first.stdout + first.stderr).toBe(0);
  expect(first.stdout).toMatch(
    /^learned: \d+ questions of TeleQnA with right option and explanation; asked: TeleQnA \(\d+\).*, cloze \(\d+\); left out: 1 question of which/m,
  );
  expect(first.stdout).toMatch(/^4 parts, 0 of them kept from before; how long/m);
  expect(first.stdout).toMatch(/^\[4\/4\] locmoe-plus-seed1-after: asked again in \d+s, about 0s left$/m);

  const out = path.join(folder, 'quick');
  const json = () => JSON.parse(readFileSync(path.join(out, 'fine-tuning.json'), 'utf8'));
  const report = json();
  const of = (task: string, wanted: string) =>
    report.measures.find(
      (each: { task: string; measure: string }) => each.task === task && each.measure === wanted,
    );
  expect(of('cloze', 'continuation')).toBeDefined();
  expect(of('TeleQnA', 'continuation').chance).toBeCloseTo(1 / 3, 12);
  expect(of('TeleQnA', 'continuation').n).toBe(of('TeleQnA', 'letter').n);
  const { before, after } = of('TeleQnA', 'likelihood').routers[0];
  expect(after.value).toBeLessThan(0);
  expect(after.value).not.toBe(before.value);
  expect(report).toMatchObject({
    headlineTask: 'TeleQnA',
    seeds: [1],
    limit: 40,
    plusVsBaseline: null,
    base: { recipe: 'micro', steps: 3, tokens: 3 * 8 * 32 },
    tuning: { steps: 2 },
  });
  const samples = readFileSync(path.join(out, 'telecom-qa.jsonl'), 'utf8').trim().split('\n');
  expect(samples).toHaveLength(report.tuning.samples);
  expect(JSON.parse(samples[0]!)).toEqual({
    prompt: expect.stringMatching(/^In release/),
    completion: ' a call\nIt ends with it.',
  });

  const second = await bench();
  expect(second.stdout).toMatch(/4 parts, 4 of them kept from before; about 0s left$/m);
  expect(json()).toEqual(report);
});
