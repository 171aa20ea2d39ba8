import { expect, it } from 'vitest';
import { resolveConfig } from '../../../src/config/resolve.js';
import { describeLength } from '../../../src/coordinator/planning/describe-plan.js';

const YAML = `
name: notes
model: { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 16, vocabSize: 1024, seqLen: 64 }
moe: { numExperts: 2, router: hash, expertGroups: 1 }
train: { steps: 1000, globalBatch: 16, learningRate: 0.1 }
data: { validationShare: 0.1, domains: [{ notes: { files: notes.txt } }] }
`;

const configWith = (...sets: string[]) => resolveConfig(YAML, '/here/notes.yaml', { sets });

it.each([
  [[], 'length: 1,000 steps of 1,024 tokens, 11 passes over 92,800 tokens of text'],
  [['train.maxTokens=8000'], 'length: 7 steps of 1,024 tokens, 0.077 passes over 92,800 tokens of text'],
  [['train.steps=95'], 'length: 95 steps of 1,024 tokens, 1.0 passes over 92,800 tokens of text'],
])('with %j its length is that of the run, over the tokens that were counted', (sets, told) => {
  expect(describeLength(configWith(...sets), 92_800)).toBe(told);
});
