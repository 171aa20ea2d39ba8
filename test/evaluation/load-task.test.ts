import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadShots, loadTask } from '../../src/evaluation/load-task.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-tasks-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, contents: string | Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, contents);
  return file;
}

const load = (name: string, contents: string | Uint8Array) => loadTask(write(name, contents));
const line = (fields: object) => `${JSON.stringify({ choices: ['a', 'b'], answer: 'A', ...fields })}\n`;

it('reads questions, and leaves out those without one right answer', () => {
  const lines = [
    { question: 'One?', choices: ['a', 'b'], answer: 'B', subject: 's' },
    { question: 'Two?', choices: ['a', 'b', 'c', 'd', 'e', 'f', 'g'], answer: 6 },
    { question: 'Three?', choices: ['a', 'b'], answer: ['A', 'B'] },
    { question: 'Four?', choices: ['a', 'b'] },
    { question: 'Five?', choices: ['a'], answer: 'A' },
    // The right answer may be any of the letters.
    ...['A', 'T', 19].map((answer) => ({
      question: 'Many?',
      choices: [...'abcdefghijklmnopqrst'],
      answer,
    })),
  ];
  const { questions, leftOut } = load(
    'own.jsonl',
    lines.map((line) => `${JSON.stringify(line)}\n\n`).join(''),
  );
  expect(questions).toMatchObject([
    { answer: 1, subject: 's' },
    { answer: 6, subject: '' },
  ]);
  expect(leftOut).toEqual({
    'with several right answers': 1,
    'without an answer': 1,
    'with other than 2 to 7 options': 4,
  });
});

describe('refuses in one line, naming the place,', () => {
  const refused = (loading: () => unknown, message: RegExp) =>
    expect(loading).toThrow(
      expect.objectContaining({
        name: 'TrainerError',
        code: 'BAD_INPUT',
        message: expect.stringMatching(new RegExp(`${message.source}[^\\n]*$`)),
      }),
    );
  const LINE = line({ question: 'q' });
  it.each<[what: string, contents: string | Uint8Array, message: RegExp]>([
    [
      'a CSV file',
      'id,question,A,B,C,D,answer\n',
      /bad:1 is no JSON .*; each line is \{"question": .*harness/,
    ],
    ['a list', '[]', /bad:1 has no text in "question"; each line is \{"question"/],
    ['a number as question', line({ question: 7 }), /bad:1 has no text in "question"; each line is/],
    [
      'choices that are none',
      LINE + line({ question: 'q', choices: 'ab' }),
      /bad:2 has no list of texts in "choices"/,
    ],
    ['a line that is no JSON', `${LINE}{"question"\n`, /bad:2 is no JSON/],
    ['an answer that is no letter', line({ question: 'q', answer: '?' }), /bad:1 has answer "\?"/],
    ['a line with another answer', line({ question: 'q', answer: -1 }), /bad:1 has no letter and no index/],
    [
      'an answer beyond the options',
      line({ question: 'q', answer: 'E' }),
      /bad:1 has 2 options, and its answer is E/,
    ],
    [
      'several right answers alone',
      line({ question: 'q', answer: 'A,B' }),
      /no question to ask: 1 with several right/,
    ],
    ['broken UTF-8', Buffer.concat([Buffer.from(LINE), Buffer.from([0x30, 0xff])]), /bad:2 is not UTF-8/],
    ['an empty file', '', /bad is empty/],
    ['empty lines', '\n\n', /bad has no questions/],
  ])('%s', (_, contents, message) => refused(() => load('bad', contents), message));

  it('a folder, and nothing', () => {
    mkdirSync(path.join(folder, 'sub'));
    refused(() => loadTask(path.join(folder, 'sub')), /sub is a folder; a file is expected/);
    refused(() => loadTask(path.join(folder, 'missing')), /missing cannot be read .*ENOENT/);
  });
});

it('takes shots from another file than what is asked, which has enough of them', () => {
  const asked = write('asked.jsonl', line({ question: 'asked' }));
  const dev = write('dev.jsonl', line({ question: 'first' }) + line({ question: 'second' }));
  expect(loadShots(asked, 1, dev).map(({ text }) => text)).toEqual(['first']);
  expect(() => loadShots(asked, 1, asked)).toThrow(/asked\.jsonl is also the task: name another file/);
  expect(() => loadShots(asked, 3, dev)).toThrow(/dev\.jsonl has 2 questions .*--shots 3/);
});
