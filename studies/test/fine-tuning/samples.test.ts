import type { Question } from 'locmoe/internal/evaluation/question';
import { expect, it } from 'vitest';
import { describeMaterial, isLearned, objectSamples, sampleOf } from '../../fine-tuning/material.js';

const question: Question = {
  place: 'file',
  docId: 0,
  subject: '',
  text: ' What does UE mean? ',
  choices: ['an edge', 'user equipment'],
  answer: 1,
  doc: { explanation: 'It is the device of a user. ' },
};

it('a sample is the right option after the question, then the explanation', () => {
  expect(sampleOf(question)).toEqual({
    prompt: 'What does UE mean?',
    completion: ' user equipment\nIt is the device of a user.',
  });
  expect(sampleOf({ ...question, doc: {} }).completion).toBe(' user equipment');
});

it('half of the questions are learned, and the same question always or never', () => {
  const texts = Array.from({ length: 1000 }, (_, i) => `What is timer T${i}?`);
  const numLearned = texts.filter((text) => isLearned({ text })).length;
  expect(numLearned).toBeGreaterThan(450);
  expect(numLearned).toBeLessThan(550);
  for (const text of texts) expect(isLearned({ text: ` ${text.toUpperCase()}\n` })).toBe(isLearned({ text }));
});

it('managed objects are read from the modules that define them, once each', () => {
  const module = `
sysUpTime OBJECT-TYPE
    SYNTAX  TimeTicks
    STATUS  current
    DESCRIPTION
            "The time since the network
            management portion was last re-initialized.  More."
    ::= { system 3 }

sysOld OBJECT-TYPE
    SYNTAX  TimeTicks
    ::= { system 4 }

ifInOctets OBJECT-TYPE
    DESCRIPTION "No end"
sysUpTime OBJECT-TYPE
    DESCRIPTION "Another."
`;
  expect(objectSamples(['nothing here', module])).toEqual([
    {
      prompt: 'What does the managed object sysUpTime stand for?',
      completion: ' The time since the network management portion was last re-initialized.',
    },
    { prompt: 'What does the managed object ifInOctets stand for?', completion: ' No end' },
  ]);
});

it('says what is learned and asked, what is left out, and what is not at hand', () => {
  const material = {
    samples: [sampleOf(question)],
    samplesAre: '1 question of TeleQnA',
    asked: [],
    cloze: [],
    contaminated: 2,
    missing: ['hamexam'],
    keys: { samples: '', asked: '' },
  };
  expect(describeMaterial(material)).toBe(
    'learned: 1 question of TeleQnA; asked: cloze (0); left out: 2 questions of which 13 words in a row are learned; not at hand: hamexam (LOCMOE_EVAL_DATA names their folder)',
  );
  expect(describeMaterial({ ...material, contaminated: 0, missing: [] })).toBe(
    'learned: 1 question of TeleQnA; asked: cloze (0)',
  );
});
