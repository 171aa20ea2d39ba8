import type { Answers } from '../../fine-tuning/answers.js';
import type { ModelResult } from '../../fine-tuning/figures.js';

const training = { checkpoint: '/nowhere', steps: 4, tokens: 4000, answerTokens: 900, loss: 5 };

/** Four questions of TeleQnA, and four of the cloze. */
function answers(continuation: readonly number[], likelihood: readonly number[]): Answers {
  return {
    TeleQnA: {
      chance: 0.25,
      majority: 0.3,
      firstLongest: 0.4,
      cutPrompts: { letter: 0.5, continuation: 0 },
      values: { continuation, letter: [0, 1, 0, 0], likelihood },
    },
    cloze: { chance: 0.25, values: { continuation: [1, 1, 1, 1], likelihood: [-1, -1, -1, -1] } },
  };
}

function result(router: string, seed: number, after: Answers): ModelResult {
  const before = answers([0, 0, 1, 0], [-2, -2, -2, -2]);
  return { router, seed, base: training, tuned: { ...training, loss: 4 + seed / 10 }, before, after };
}

/** Two seeds of the baseline and of LocMoE+. */
export const RESULTS = [
  result('switch', 1, answers([1, 0, 0, 0], [-1, -1, -1, -1])),
  result('locmoe-plus', 1, answers([1, 1, 1, 0], [-0.5, -0.5, -0.5, -1.5])),
  result('switch', 2, answers([1, 0, 1, 0], [-1, -1, -1, -1])),
  result('locmoe-plus', 2, answers([0, 1, 1, 0], [-0.9, -0.9, -0.9, -1.1])),
];

/** What a report says beside the answers. */
export const ABOUT = {
  recipe: 'tiny',
  parameters: 1_000_000,
  window: 128,
  hours: 0.5,
  samples: 1,
  material: 'learned: 1 question of TeleQnA; asked: cloze (0)',
  limit: null,
};
