import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TextReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Format, loadTask } from '../../src/evaluation/load-task.js';
import { loadShots } from '../../src/evaluation/shots.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-tasks-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, contents: string | Uint8Array): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, contents);
  return file;
}

/** Writes and loads a file. */
const load = (name: string, contents: string | Uint8Array, format: Format | null = null) =>
  loadTask(write(name, contents), format);

const TELEQNA = {
  'question 0': {
    question: 'What is a cell? [3GPP Release 17]',
    'option 1': 'A battery',
    'option 2': 'An area with its own antenna',
    answer: 'option 2: An area with its own aerial',
    explanation: 'None.',
    category: 'Lexicon',
  },
  'question 1': {
    question: 'Which layer routes?',
    'option 1': 'First',
    'option 2': 'Second',
    'option 3': 'Third',
    'option 4': 'Fourth',
    'option 5': 'Last',
    answer: 'option 3: Third',
    explanation: '',
    category: 'Standards overview',
  },
};
async function zipped(password?: string): Promise<Uint8Array> {
  const zip = new ZipWriter(new Uint8ArrayWriter());
  const options = password === undefined ? {} : { password, encryptionStrength: 3 as const };
  await zip.add('TeleQnA.txt', new TextReader(JSON.stringify(TELEQNA)), options);
  return zip.close();
}

describe('reads', () => {
  it('C-Eval, with its row as the document', async () => {
    const { format, questions } = await load(
      'val/logic_val.csv',
      '\ufeffid,question,A,B,C,D,answer,explanation\n0,"甲,乙?",一,二,三,四,C,\n1,"两行\n问题",一,二,三,四,A,因为\n',
    );
    expect(format).toBe('ceval');
    expect(questions).toMatchObject([
      { docId: 0, text: '甲,乙?', choices: ['一', '二', '三', '四'], answer: 2, subject: 'logic' },
      { docId: 1, text: '两行\n问题', answer: 0 },
    ]);
    expect(questions[0].doc).toEqual({
      id: 0,
      question: '甲,乙?',
      A: '一',
      B: '二',
      C: '三',
      D: '四',
      answer: 'C',
      explanation: '',
    });
    const published = await load('val/law_val.csv', 'id,question,A,B,C,D,answer\n0,q,a,b,c,d,C\n');
    expect(published.questions[0].doc).toEqual({
      id: 0,
      question: 'q',
      A: 'a',
      B: 'b',
      C: 'c',
      D: 'd',
      answer: 'C',
      explanation: '',
    });
  });

  it('CMMLU, whose first column is an index', async () => {
    const { format, questions } = await load(
      'test/arts.csv',
      ',Question,A,B,C,D,Answer\n0,画?,一,二,三,四,D\n',
    );
    expect(format).toBe('cmmlu');
    expect(questions).toMatchObject([{ text: '画?', answer: 3, subject: 'arts' }]);
    expect(questions[0].doc).toEqual({ Question: '画?', A: '一', B: '二', C: '三', D: '四', Answer: 'D' });
  });

  it('MMLU, without a header', async () => {
    const { format, questions, leftOut } = await load(
      'test/college_physics_test.csv',
      '"What, then?",1,2,"3, or\n4",5,C\nWhy?,a,b,c,d,"A,B"\nHow?,a,b,c,d,B\n',
    );
    expect(format).toBe('mmlu');
    expect(questions).toMatchObject([
      { text: 'What, then?', choices: ['1', '2', '3, or\n4', '5'], answer: 2, subject: 'college_physics' },
      { docId: 2, text: 'How?', answer: 1 },
    ]);
    expect(questions[0].doc).toMatchObject({ subject: 'college_physics', answer: 2 });
    expect(leftOut).toEqual({ 'with several right answers': 1 });
  });

  it('TeleQnA as text and as the encrypted archive that is published', async () => {
    const text = await load('TeleQnA.txt', JSON.stringify(TELEQNA));
    expect(text.format).toBe('teleqna');
    expect(text.questions).toMatchObject([
      // The number of the option counts, not its text.
      { choices: ['A battery', 'An area with its own antenna'], answer: 1, subject: 'Lexicon' },
      { choices: { length: 5 }, answer: 2, subject: 'Standards overview' },
    ]);
    const archive = await load('TeleQnA.zip', await zipped('teleqnadataset'));
    expect(archive.questions.map(({ doc }) => doc)).toEqual(text.questions.map(({ doc }) => doc));
    expect((await load('plain.zip', await zipped())).questions).toHaveLength(2);
  });

  it('OpsEval, without the options that some questions repeat', async () => {
    const { format, questions, leftOut } = await load(
      'ops.json',
      JSON.stringify([
        {
          id: 'Wired-7',
          question: '哪个?\n\nA: 甲\nB:乙 丙 ',
          choices: ['甲', '乙 丙'],
          answer: 'B',
          topic: ['x'],
        },
        { id: 'Wired-8', question: 'Choose two.', choices: ['a', 'b', 'c'], answer: 'A, C' },
        { id: 'Wired-9', question: 'See A: a', choices: ['a', 'b'], answer: 'A' },
        { id: 'Wired-10', question: 'How many?', choices: ['1', '2'], answer: '2' },
      ]),
    );
    expect(format).toBe('opseval');
    expect(questions).toMatchObject([
      { text: '哪个?', answer: 1, subject: 'Wired' },
      { docId: 2, text: 'See A: a', answer: 0 },
    ]);
    expect(leftOut).toEqual({ 'with several right answers': 1, 'with an answer that is no letter': 1 });
  });

  it('pools of hamexam and fccexam', async () => {
    write('pools/T/T1A01', 'T1A01 (C) [97.1]\nWhich?\nA. one\nB.two\nC.. three\n D. four\n');
    write('pools/T/T1A02', 'T1A02 (A)\nWhat does figure T-1 show?\nA. one\nB. two\nC. three\nD. four\n');
    write(
      'pools/E1/1-10B1',
      Buffer.from('1-10B1 D\nAt 20\xb0C?\nA. one\nB. two\nC. three\nD. four\n', 'latin1'),
    );
    write('pools/README', 'no question');
    const { format, questions, leftOut } = await loadTask(path.join(folder, 'pools'), null);
    expect(format).toBe('exam-pool');
    expect(questions).toMatchObject([
      { text: 'At 20°C?', answer: 3, subject: 'E1' },
      { text: 'Which?', choices: ['one', 'two', 'three', 'four'], answer: 2, subject: 'T' },
    ]);
    expect(leftOut).toEqual({ 'that refer to a figure': 1 });
    expect((await loadTask(path.join(folder, 'pools/E1'), null)).questions).toHaveLength(1);
  });

  it('JSON lines of our own', async () => {
    const lines = [
      { question: 'One?', choices: ['a', 'b'], answer: 'B', subject: 's' },
      { question: 'Two?', choices: ['a', 'b', 'c', 'd', 'e', 'f', 'g'], answer: 6 },
      { question: 'Three?', choices: ['a', 'b'], answer: ['A', 'B'] },
      { question: 'Four?', choices: ['a', 'b'] },
      { question: 'Five?', choices: ['a'], answer: 'A' },
      // Whichever is right.
      ...['A', 'T', 19].map((answer) => ({
        question: 'Many?',
        choices: [...'abcdefghijklmnopqrst'],
        answer,
      })),
    ];
    const { format, questions, leftOut } = await load(
      'own.jsonl',
      lines.map((line) => `${JSON.stringify(line)}\n\n`).join(''),
    );
    expect(format).toBe('jsonl');
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
});

describe('refuses in one line, naming the place,', () => {
  const refused = async (loading: Promise<unknown>, message: RegExp) => {
    const error = await loading.then(
      () => expect.fail('it was read'),
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ name: 'TrainerError', code: 'BAD_INPUT' });
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  };
  const CEVAL = 'id,question,A,B,C,D,answer\n';
  it.each<[what: string, contents: string | Uint8Array, message: RegExp]>([
    [
      'a wrong column',
      'id,question,A,B,C,D,antwort\n0,q,a,b,c,d,A\n',
      /\.csv:1 has no column answer .*antwort/,
    ],
    ['a test split without answers', 'id,question,A,B,C,D\n0,q,a,b,c,d\n', /no column answer .*take val/],
    ['a row with too few columns', `${CEVAL}0,q,a,b,c,d,A\n1,q,a,b\n`, /\.csv:3 is no CSV .*length/i],
    ['an open quote', `${CEVAL}0,"q,a,b,c,d,A\n`, /\.csv:\d is no CSV .*quote/i],
    ['an answer that is no letter', `${CEVAL}0,q,a,b,c,d,A\n\n1,q,a,b,c,d,?\n`, /\.csv:4 has answer "\?"/],
    [
      'several right answers alone',
      `${CEVAL}0,q,a,b,c,d,"A,B"\n`,
      /no question to ask: 1 with several right/,
    ],
    ['broken UTF-8', Buffer.concat([Buffer.from(CEVAL), Buffer.from([0x30, 0xff])]), /\.csv:2 is not UTF-8/],
    ['an empty file', '', /\.csv is empty/],
    ['another text', 'Dear reader,\nthis is a letter.\n', /\.csv:1 is of no known kind.*--task-format/],
    ['an answer beyond the options', 'q,a,b,c,d,E\n', /\.csv:1 has 4 options, and its answer is E/],
    ['broken JSON', '[{"id": "x",\n "question": }]', /\.csv(:2)? is no JSON/],
    ['broken JSON of several lines', '[\n  nope\n]', /\.csv(:2)? is no JSON/],
    ['a number as question', '{"question 0": {"question": 7}}', /question 0: has no text in "question"/],
    [
      'an option that is not there',
      '{"question 3": {"question": "q", "option 1": "a", "option 2": "b", "answer": "option 3: c"}}',
      /, question 3: has 2 options, and its answer is C/,
    ],
    [
      'an answer of another form',
      '{"question 3": {"question": "q", "option 1": "a", "answer": "2"}}',
      /question 3: has no "answer"/,
    ],
    [
      'choices that are none',
      '[{"id": "w-1", "question": "q", "choices": "ab", "answer": "A"}]',
      /"w-1": has no list of texts in "choices"/,
    ],
    [
      'a line that is no JSON',
      '{"question": "q", "choices": ["a", "b"], "answer": "A"}\n{"question"\n',
      /\.csv:2 is no JSON/,
    ],
    [
      'a line with another answer',
      '{"question": "q", "choices": ["a", "b"], "answer": -1}\n',
      /\.csv:1 has no letter and no index/,
    ],
    ['no archive', Buffer.from('PK\x03\x04 and no more'), /\.csv is no complete zip archive/],
  ])('%s', (_, contents, message) => refused(load('bad.csv', contents), message));

  it('a wrong password', async () => {
    await refused(load('locked.zip', await zipped('another')), /does not open with TeleQnA's password/);
  });

  it('an archive that is cut short', async () => {
    await refused(
      load('short.zip', (await zipped('teleqnadataset')).slice(0, -30)),
      /no complete zip archive/,
    );
  });

  it('a folder without questions, a folder for a file, a file for a folder, and nothing', async () => {
    mkdirSync(path.join(folder, 'nothing'));
    const nothing = path.join(folder, 'nothing');
    await refused(loadTask(nothing, null), /nothing has no questions; a folder is a question pool/);
    await refused(loadTask(nothing, 'ceval'), /is a folder; --task-format ceval/);
    await refused(load('x.txt', 'T1A01 (C)\n', 'exam-pool'), /is a file; a question pool/);
    await refused(loadTask(path.join(folder, 'missing'), null), /missing cannot be read .*ENOENT/);
    write('broken/T/T1A01', 'T1A01 (C)\nWhich?\nA. one\nC. three\n');
    await refused(loadTask(path.join(folder, 'broken'), null), /T1A01:4 is not option B/);
  });
});

describe('shots', () => {
  const row = (question: string) => `${question},a,b,c,d,A\n`;

  it('come from the dev folder beside the split, or from a file', async () => {
    const test = write('mmlu/test/law_test.csv', row('asked'));
    write('mmlu/dev/law_dev.csv', row('first') + row('second'));
    const asked = (count: number, dev: string | null = null) =>
      loadShots(test, { count, dev, format: 'mmlu' });
    expect((await asked(2)).map(({ text }) => text)).toEqual(['first', 'second']);
    expect(await asked(0)).toEqual([]);
    const own = write('own-shots.jsonl', '{"question": "own", "choices": ["a", "b"], "answer": 0}\n');
    expect((await asked(1, own)).map(({ text }) => text)).toEqual(['own']);
    await expect(asked(1, test)).rejects.toThrow(
      /law_test\.csv is what is asked: with --dev of the same file/,
    );
    await expect(asked(3)).rejects.toThrow(/law_dev\.csv has 2 questions .*--shots 3/);
  });

  it('are also found beside a file of the same name, and missed in one line', async () => {
    const test = write('flat/ops-test-5G.json', '[]');
    write('flat/ops-dev-5G.json', '[{"question": "beside", "choices": ["a", "b"], "answer": "A"}]');
    expect(await loadShots(test, { count: 1, dev: null, format: 'opseval' })).toMatchObject([
      { text: 'beside' },
    ]);
    const cmmlu = write('cmmlu/test/arts.csv', '');
    await expect(loadShots(cmmlu, { count: 1, dev: null, format: 'cmmlu' })).rejects.toThrow(
      /arts\.csv has no dev split beside it .*--dev FILE/,
    );
    write('cmmlu/dev/arts.csv', ',Question,A,B,C,D,Answer\n0,画?,一,二,三,四,D\n');
    expect(await loadShots(cmmlu, { count: 1, dev: null, format: 'cmmlu' })).toMatchObject([{ text: '画?' }]);
  });
});
