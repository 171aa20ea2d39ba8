import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { loadTask } from '../../src/evaluation/load-task.js';
import { baselinesOf } from '../../src/evaluation/summary.js';
import { skipLoudly } from '../debian-tool.js';

/** A folder with the benchmarks as they are published; they are not part of this repository. */
const DATA = process.env.LOCMOE_EVAL_DATA;

function fileOf(name: string, skip: (note: string) => never): string {
  if (DATA === undefined)
    return skipLoudly(skip, 'LOCMOE_EVAL_DATA names no folder with published benchmarks');
  const file = path.join(DATA, name);
  return existsSync(file) ? file : skipLoudly(skip, `LOCMOE_EVAL_DATA has no ${name}`);
}

it('reads all of TeleQnA from its archive', async ({ skip }) => {
  const { questions, leftOut } = await loadTask(fileOf('TeleQnA.zip', skip), null);
  expect(questions).toHaveLength(10_000);
  expect(leftOut).toEqual({});
  const numWith = (options: number) => questions.filter(({ choices }) => choices.length === options).length;
  expect([5, 4, 3, 2].map(numWith)).toEqual([6_441, 3_456, 87, 16]);
  const numIn = (category: string) => questions.filter(({ subject }) => subject === category).length;
  expect(
    [
      'Lexicon',
      'Research overview',
      'Research publications',
      'Standards overview',
      'Standards specifications',
    ].map(numIn),
  ).toEqual([500, 2_000, 4_500, 1_000, 2_000]);
  const { chance, firstLongest } = baselinesOf(questions);
  expect([chance, firstLongest].map((share) => (100 * share).toFixed(1))).toEqual(['21.9', '32.6']);
});

it.for([
  ['5G_Communication', 328, { 'with other than 2 to 7 options': 14, 'with an answer that is no letter': 1 }],
  ['Wired_Network', 1_262, { 'with several right answers': 294, 'with other than 2 to 7 options': 2 }],
] as const)('reads OpsEval %s', async ([name, numAsked, expected], { skip }) => {
  const file = fileOf(`opseval-test-${name}.json`, skip);
  const { questions, leftOut } = await loadTask(file, null);
  expect(questions).toHaveLength(numAsked);
  expect(leftOut).toEqual(expected);
  expect((await loadTask(fileOf('opseval-dev-5G_Communication.json', skip), null)).questions).toHaveLength(5);
  // The options that 5G questions repeat are gone.
  expect(questions.filter(({ text }) => /\nB: /.test(text))).toEqual([]);
});

it('reads the question pools of hamexam and fccexam', async ({ skip }) => {
  const pools = await Promise.all(
    ['hamexam', 'fccexam'].map(async (name) => loadTask(fileOf(name, skip), null)),
  );
  const questions = pools.flatMap((pool) => pool.questions);
  const figures = pools.reduce((sum, { leftOut }) => sum + leftOut['that refer to a figure'], 0);
  expect(questions.length + figures).toBe(4_583);
  expect(figures).toBeGreaterThan(50);
  expect(figures).toBeLessThan(100);
  expect(new Set(questions.map(({ subject }) => subject)).size).toBe(11);
});
