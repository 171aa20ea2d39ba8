import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { figuresOf } from '../../fine-tuning/figures.js';
import { pageOf, temporaryFolder } from '../support.js';
import { ABOUT, RESULTS } from './support.js';

it('has scores, comparisons and the paper beside them, and keeps what people wrote', async () => {
  const out = temporaryFolder();
  const written = await pageOf('fine-tuning', figuresOf(RESULTS, ABOUT), out);
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
    'learned: 1 question of TeleQnA; asked: cloze (0).',
    '4 questions; 0.0 % of the prompts are cut to the window.',
    '4 questions.',
  ])
    expect(lines).toContainEqual(line);
  expect(written).not.toMatch(/NaN|undefined|null|-0\.0+ /);
  expect(readdirSync(out).sort()).toEqual([
    ...['fine-tuning-likelihoods.svg', 'fine-tuning-scores.svg', 'fine-tuning.json', 'fine-tuning.md'],
  ]);
  const svg = readFileSync(path.join(out, 'fine-tuning-scores.svg'), 'utf8');
  expect(svg).toContain('Right answers before and after fine-tuning');
  // Labels are whole.
  expect(svg).toContain('>switch + token preference<');

  writeFileSync(
    path.join(out, 'fine-tuning.md'),
    written.replace('_Nothing written yet._', 'Too few tokens.'),
  );
  const again = await pageOf('fine-tuning', figuresOf(RESULTS, { ...ABOUT, limit: 40 }), out);
  expect(again).toContain('Too few tokens.');
  expect(again).toContain('**The first 40 questions of each file alone: not for reporting.**');
  expect(written).not.toContain('not for reporting');
});

it('does without the baseline, and with one seed', async () => {
  const alone = figuresOf(
    RESULTS.filter(({ router }) => router === 'locmoe-plus'),
    ABOUT,
  );
  expect(await pageOf('fine-tuning', alone)).not.toMatch(/NaN|undefined|null|here: /);
  const one = figuresOf(
    RESULTS.filter(({ seed }) => seed === 1),
    ABOUT,
  );
  expect(await pageOf('fine-tuning', one)).toMatch(/^- TeleQnA after fine-tuning: .*, one seed\)\.$/m);
});
