import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { writeReport } from '../../src/fine-tuning/report.js';
import { COMPARISON, RESULTS } from './support.js';

function outFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-fine-tuning-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

it('has scores, comparisons and the paper beside them, and keeps what people wrote', async () => {
  const out = outFolder();
  const file = await writeReport(COMPARISON, out);
  const written = readFileSync(file, 'utf8');
  const lines = written.split('\n');
  for (const line of [
    expect.stringMatching(
      /^- TeleQnA after fine-tuning: near-hash selection is \*\*\+25\.0 points\*\* against switch \+ token preference \(95 % by question -[\d.]+ \.\. \+[\d.]+, over seeds -292\.7 \.\. \+342\.7\)\.$/,
    ),
    '- TeleQnA by letter (chance 25.0 %): every router is **at chance**, before and after fine-tuning.',
    '- cloze (chance 25.0 %): switch + token preference 100.0 %, near-hash selection 100.0 % after fine-tuning.',
    '| LocMoE+ | 57.4 | 49.9 | 74.5 | 61.5 | 68.8 | 70.4 | 33.5 | 67.8 |',
    '| paper: GDAD average | 52.8 % | 61.5 % | +8.7 | +16.5 % | +14.1 % |',
    '| paper: TeleQnA | 62.1 % | 68.8 % | +6.7 | +10.8 % | +9.7 % |',
    '| here: TeleQnA | 37.5 % | 62.5 % | +25.0 | +66.7 % | +40.0 % |',
    '| here: TeleQnA by letter | 25.0 % | 25.0 % | 0.0 | 0.0 % | 0.0 % |',
    '| the first longest option |  | 40.0 % |  |  |  |  |  |',
    '4 questions; 50.0 % of the prompts are cut to the window.',
    '| switch + token preference | 5.000 | 4.150 (4.100 to 4.200) |',
    'learned: 1 question of TeleQnA; asked: cloze (0); left out: 2 questions of which 13 words in a row are learned; not at hand: hamexam (LOCMOE_EVAL_DATA names their folder).',
  ])
    expect(lines).toContainEqual(line);
  expect(written).not.toMatch(/NaN|undefined|null|-0\.0+ /);
  expect(readdirSync(out).sort()).toEqual([
    ...['fine-tuning-likelihoods.svg', 'fine-tuning-scores.svg', 'fine-tuning.json', 'fine-tuning.md'],
  ]);
  expect(JSON.parse(readFileSync(path.join(out, 'fine-tuning.json'), 'utf8'))).toMatchObject({
    tasks: {
      TeleQnA: {
        n: 4,
        chance: 0.25,
        switch: { before: 0.25, after: 0.375 },
        'locmoe-plus': { after: 0.625 },
      },
      'TeleQnA by letter': { 'locmoe-plus': { standardError: 0.25 } },
      cloze: { n: 4, switch: { after: 1, standardError: 0 } },
    },
    likelihoods: { TeleQnA: { switch: { before: -2, after: -1 } } },
    headlineTask: 'TeleQnA',
    plusVsBaseline: { difference: 0.25 },
    seeds: [1, 2],
    base: { recipe: 'tiny', tokens: 4000, hours: 0.5 },
    machine: 'a machine',
    command: 'a command',
  });

  writeFileSync(file, written.replace('_Nothing written yet._', 'Too few tokens.'));
  await writeReport({ ...COMPARISON, limit: 40 }, out);
  const again = readFileSync(file, 'utf8');
  expect(again).toContain('Too few tokens.');
  expect(again).toContain('**The first 40 questions of each file alone: not for reporting.**');
});

it('does without the baseline', async () => {
  const out = outFolder();
  const results = RESULTS.filter(({ router }) => router === 'locmoe-plus');
  const written = readFileSync(await writeReport({ ...COMPARISON, results }, out), 'utf8');
  expect(written).not.toMatch(/NaN|undefined|null|here: /);
  expect(JSON.parse(readFileSync(path.join(out, 'fine-tuning.json'), 'utf8'))).toMatchObject({
    plusVsBaseline: null,
  });
});
