import { expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';
import { describeRecipe } from '../../src/coordinator/describe-recipe.js';

const YAML = `
name: notes
model: { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 16, vocabSize: 1024, seqLen: 64 }
moe: { numExperts: 2, router: hash, expertGroups: 1 }
train: { steps: 1000, globalBatch: 16, learningRate: 0.1 }
data: { validationShare: 0.1, domains: [{ notes: { files: notes.txt } }] }
`;

it.each([
  [
    [],
    'recipe: vocabulary 1,024, d = 8, 1 + 1 layers, 2 experts; 1,000 steps of 1,024 tokens, about 11 times through',
  ],
  [['train.maxTokens=8000'], /; 7 steps of 1,024 tokens, 0\.08 of the text \(/],
  [['train.steps=95'], /; 95 steps of 1,024 tokens, about once through the text \(/],
])('a recipe with %j is told of with the length that a run has', (sets, told) => {
  const recipe = { yaml: YAML, numFiles: 2, bytes: 330_000, bytesPerToken: 3.2 };
  const [text, line] = describeRecipe(recipe, resolveConfig(YAML, '/here/notes.yaml', { sets }));
  expect(text).toBe('text: 2 files, 330 kB, as domain notes');
  expect(line).toMatch(told);
});
