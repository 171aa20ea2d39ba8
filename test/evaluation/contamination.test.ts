import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../src/data/dataset.js';
import { ContaminationCheck, trainingText } from '../../src/evaluation/contamination.js';
import type { Question } from '../../src/evaluation/question.js';
import { smallInference } from '../inference/small-inference.js';

const question = (text: string, choices: readonly string[] = ['yes', 'no']): Question => ({
  place: 'here',
  docId: 0,
  doc: {},
  answer: 0,
  subject: '',
  text,
  choices,
});
const words = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => `word${first + i}`).join(' ');

describe('ContaminationCheck', () => {
  it('finds 13 words in a row, whatever their case and punctuation', () => {
    const [whole, twelve, short] = [
      question(words(0, 20)),
      question(words(100, 20)),
      question(words(200, 5)),
    ];
    const check = new ContaminationCheck([whole, twelve, short]);
    check.read(`Before. ${words(3, 13).toUpperCase().replaceAll(' ', ', ')}! After`);
    check.read(`${words(100, 12)} other ${words(113, 7)}`);
    check.read(words(200, 5));
    expect(check.contaminated).toEqual(new Set([whole]));
    expect(check.tooShort).toEqual(new Set([short]));
  });

  it('goes on where the last piece ended, and takes options in', () => {
    const one = question(words(0, 6), [words(6, 4), words(10, 4)]);
    const check = new ContaminationCheck([one]);
    check.read(words(0, 7));
    expect(check.contaminated.size).toBe(0);
    check.read(words(7, 6));
    expect(check.contaminated).toEqual(new Set([one]));
  });

  it('counts Chinese characters as words, and tells all questions that share them', () => {
    const text = '核心网与基站之间的接口叫做什么接口';
    const [one, other] = [question(`${text}？`), question(`请问：${text}，并说明`)];
    const check = new ContaminationCheck([one, other]);
    check.read(`在5G里，${text.slice(0, 13)}。`);
    expect(check.contaminated).toEqual(new Set([one, other]));
  });
});

it('reads the training text of a dataset, document by document', () => {
  const { tokenizer, remove } = smallInference(16);
  const ids = (...texts: readonly string[]) =>
    Uint16Array.from(texts.flatMap((text) => [...tokenizer.encode(text), tokenizer.endOfText]));
  const split = (tokens: Uint16Array) => ({ documents: 1, bytes: 1, ids: tokens });
  const many = Array.from({ length: 9_000 }, (_, i) => `the cat ${i}`);
  const dataset = {
    endOfText: tokenizer.endOfText,
    domains: [
      { name: 'a', train: split(ids(...many)), validation: split(ids('kept apart')), validationEntropy: 1 },
      { name: 'b', train: split(ids('the mat')), validation: split(ids('too')), validationEntropy: 1 },
    ],
  } as unknown as Dataset;
  const pieces = [...trainingText(dataset, tokenizer)];
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces.join('').split('<|endoftext|>')).toEqual([...many, 'the mat', '']);
  remove();
});
