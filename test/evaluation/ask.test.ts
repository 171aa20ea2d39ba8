import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../src/evaluation/ask.js';
import type { AskedTask } from '../../src/evaluation/load-task.js';
import type { Question } from '../../src/evaluation/question.js';
import { metricsOf } from '../../src/evaluation/requests.js';
import { subjectSummaries, summaryOf } from '../../src/evaluation/summary.js';
import { type SmallInference, scorerOf, smallInference } from '../inference/small-inference.js';

const LONG = 400;
const SHORT = 24;
let long: SmallInference;
let short: SmallInference;
beforeAll(() => {
  long = smallInference(LONG);
  short = smallInference(SHORT);
});
afterAll(() => {
  long.remove();
  short.remove();
});

function question(text: string, choices: readonly string[], answer: number, subject = ''): Question {
  return { place: 'here', docId: 0, doc: { text }, text, choices, answer, subject };
}

function task(questions: readonly Question[], shots: readonly Question[] = []): AskedTask {
  return { file: 'own.jsonl', questions, leftOut: {}, shots };
}

const DOMAIN = 1;
async function asked(inference: SmallInference, ...tasks: readonly AskedTask[]) {
  const progress: number[] = [];
  const onProgress = (done: number) => progress.push(done);
  return {
    ...(await ask(scorerOf(inference), tasks, {
      domain: DOMAIN,
      onProgress,
      signal: new AbortController().signal,
    })),
    progress,
  };
}

/** lm-evaluation-harness' rules for a request, over the slow model. */
function harness(inference: SmallInference, seqLen: number, context: string, continuation: string): number {
  const { tokenizer, slowLogProb } = inference;
  const encode = (text: string) => [...tokenizer.encode(text)];
  const before = context === '' ? [tokenizer.endOfText] : encode(context);
  const after = context === '' ? encode(continuation) : encode(context + continuation).slice(before.length);
  const ids = [...before, ...after].slice(-(seqLen + 1));
  let sum = 0;
  for (let i = ids.length - after.length; i < ids.length; i++)
    sum += slowLogProb(ids.slice(0, i), ids[i], DOMAIN);
  return sum;
}

function expectSums(answer: Answer, expected: readonly number[]): void {
  expect(answer.logLikelihoods.map(({ sum }) => sum)).toHaveLength(expected.length);
  answer.logLikelihoods.forEach(({ sum }, i) => {
    expect(sum).toBeCloseTo(expected[i], 3);
  });
}

const best = (values: readonly number[]) => values.indexOf(Math.max(...values));
const LETTERS = [' A', ' B', ' C', ' D'];

describe('a question', () => {
  const SHOT = question('猫坐在哪里？', ['垫子上', '树上', '门口', '水里'], 0, 'logic');
  const SECOND = question('谁睡在门口？', ['猫', '狗', '鸟', '鱼'], 1, 'logic');
  const ASKED = question(' 狗坐在哪里？\n', ['垫子上', '树上', '门口', '水里'], 2, 'logic');
  const CONTEXT =
    '猫坐在哪里？\nA. 垫子上\nB. 树上\nC. 门口\nD. 水里\n答案： A\n\n' +
    '谁睡在门口？\nA. 猫\nB. 狗\nC. 鸟\nD. 鱼\n答案： B\n\n' +
    '狗坐在哪里？\nA. 垫子上\nB. 树上\nC. 门口\nD. 水里\n答案：';

  it('has the log-likelihoods of its letters as lm-evaluation-harness has them', async () => {
    const { answers } = await asked(long, task([ASKED], [SHOT, SECOND]));
    const letter = answers.find(({ scoring }) => scoring === 'letter')!;
    expect(letter.context).toBe(CONTEXT);
    expect(letter.continuations).toEqual(LETTERS);
    const sums = LETTERS.map((each) => harness(long, LONG, CONTEXT, each));
    expectSums(letter, sums);
    expect(letter.metrics).toEqual({ acc: Number(best(sums) === 2) });
    expect(letter.wasCut).toBe(false);
  });

  it('whose prompt is too long loses its beginning', async () => {
    const { answers } = await asked(short, task([ASKED], [SHOT, SECOND]));
    const letter = answers.find(({ scoring }) => scoring === 'letter')!;
    expectSums(
      letter,
      LETTERS.map((each) => harness(short, SHORT, CONTEXT, each)),
    );
    expect(letter.wasCut).toBe(true);
    expect(summaryOf(answers).scorings.letter!.cutPrompts).toBe(1);
  });

  it('is scored by what its options say: sum, per character, per byte, mutual information', async () => {
    const choices = ['the mat', 'the cat sat on the mat, and so on', '垫子'];
    const { answers } = await asked(long, task([question('Where?', choices, 1)]));
    const { context, metrics, unconditional, ...answer } = answers.find(
      ({ scoring }) => scoring === 'continuation',
    )!;
    expect(context).toBe('Question: Where?\nAnswer:');
    const sums = choices.map((choice) => harness(long, LONG, context, ` ${choice}`));
    const alone = choices.map((choice) => harness(long, LONG, '', ` ${choice}`));
    expectSums({ ...answer, context, metrics, unconditional }, sums);
    unconditional.forEach(({ sum }, i) => {
      expect(sum).toBeCloseTo(alone[i], 3);
    });
    expect(metrics).toEqual({
      acc: Number(best(sums) === 1),
      acc_norm: Number(best([sums[0] / 7, sums[1] / 33, sums[2] / 2]) === 1),
      acc_bytes: Number(best([sums[0] / 7, sums[1] / 33, sums[2] / 6]) === 1),
      acc_mutual_info: Number(best(sums.map((sum, i) => sum - alone[i])) === 1),
    });
  });

  it('may be right by one measure alone', () => {
    const sums = (...values: readonly number[]) => values.map((sum) => ({ sum, isGreedy: false }));
    const choices = ['xy', 'xxxxyyyy', '垫子垫', 'xyz'];
    const metrics = choices.map((_, answer) => {
      const given = question('Which?', choices, answer);
      return metricsOf(
        { task: task([given]), question: given, scoring: 'continuation' },
        sums(-2, -4, -4.2, -5),
        sums(-2, -4, -4.2, -9),
      );
    });
    const none = { acc: 0, acc_norm: 0, acc_bytes: 0, acc_mutual_info: 0 };
    expect(metrics).toEqual([
      { ...none, acc: 1 },
      { ...none, acc_norm: 1 },
      { ...none, acc_bytes: 1 },
      { ...none, acc_mutual_info: 1 },
    ]);
  });

  it('is asked in its language, with as many letters as it has options', async () => {
    const english = question('Which?', ['a', 'b', 'c', 'd', 'e'], 4);
    const { answers } = await asked(long, task([english, question('哪个？', ['甲', '乙'], 1)]));
    expect(
      answers.map(({ scoring, context, continuations }) => [scoring, context, continuations.length]),
    ).toEqual([
      ['letter', 'Which?\nA. a\nB. b\nC. c\nD. d\nE. e\nAnswer:', 5],
      ['continuation', 'Question: Which?\nAnswer:', 5],
      ['letter', '哪个？\nA. 甲\nB. 乙\n答案：', 2],
      ['continuation', '问题：哪个？\n答案：', 2],
    ]);
  });

  it('with an option longer than the window is not scored by continuation', async () => {
    const questions = [
      question('Where?', ['the mat', 'on and '.repeat(SHORT)], 0),
      question('Why?', ['a', 'b'], 1),
    ];
    const { answers, unscored } = await asked(short, task(questions));
    expect(unscored).toMatchObject([{ question: questions[0], scoring: 'continuation' }]);
    const { n, scorings } = summaryOf(answers);
    expect([n, scorings.letter!.scores.acc.n, scorings.continuation!.scores.acc.n]).toEqual([2, 2, 1]);
  });
});

it('asks many questions as each alone, and tells how far it is', async () => {
  const questions = Array.from({ length: 70 }, (_, i) =>
    question(`Number ${i}?`, ['mat', 'cat', `sat ${i}`].slice(0, 2 + (i % 2)), i % 2),
  );
  const { answers, progress } = await asked(long, task(questions));
  expect(progress).toEqual([32, 64, 70]);
  expect(answers).toHaveLength(140);
  for (const i of [0, 33, 69]) {
    const alone = await asked(long, task([questions[i]]));
    alone.answers.forEach((answer, k) => {
      expect(answers[2 * i + k].metrics).toEqual(answer.metrics);
      expectSums(
        answers[2 * i + k],
        answer.logLikelihoods.map(({ sum }) => sum),
      );
    });
  }
});

it('summarises by subject, and says what is reached without a model', async () => {
  const tasks = [
    task([question('一', ['甲', '乙乙', '丙丙', '丁'], 1, 'arts')]),
    {
      ...task([
        question('二', ['甲', '乙', '丙', '丁'], 1, 'virology'),
        question('三', ['甲', '乙'], 0, 'virology'),
      ]),
      file: 'virology.jsonl',
    },
  ];
  const { answers } = await asked(long, ...tasks);
  const { n, baselines } = summaryOf(answers);
  expect(n).toBe(3);
  expect(baselines.chance).toBeCloseTo((0.25 + 0.25 + 0.5) / 3);
  expect(baselines.majority).toEqual({ letter: 'B', score: 2 / 3 });
  expect(baselines.firstLongest).toBeCloseTo(2 / 3);
  expect(subjectSummaries(answers).map((each) => [each.name, each.n])).toEqual([
    ['arts', 1],
    ['virology', 2],
  ]);
});

it('ends between two batches when it is told to', async () => {
  const questions = Array.from({ length: 70 }, (_, i) => question(`Number ${i}?`, ['mat', 'cat'], 0));
  const ended = new AbortController();
  const progress: number[] = [];
  const onProgress = (done: number) => {
    progress.push(done);
    ended.abort(new Error('enough'));
  };
  const options = { domain: DOMAIN, onProgress, signal: ended.signal };
  await expect(ask(scorerOf(long), [task(questions)], options)).rejects.toThrow('enough');
  expect(progress).toEqual([32]);
});
