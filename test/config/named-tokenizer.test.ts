import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';
import { tokenizerJson } from '../../src/data/tokenizer/bpe-trainer.js';
import { BYTE_CHARACTERS } from '../../src/data/tokenizer/byte-level.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-named-'));
afterAll(() => rmSync(folder, { recursive: true }));
mkdirSync(path.join(folder, 'mine'));
// 256 bytes, two merged tokens and the end of text.
const json = tokenizerJson({
  tokens: [...BYTE_CHARACTERS, 'th', 'the'],
  merges: [
    ['t', 'h'],
    ['th', 'e'],
  ],
});
writeFileSync(path.join(folder, 'mine/tokenizer.json'), json);
writeFileSync(path.join(folder, 'unigram.json'), '{"model":{"type":"Unigram"}}');

const resolve = (tokenizer: string, vocabSize: string | null = null, sets: string[] = []) =>
  resolveConfig(
    `name: own
model:
  { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 1, dFeedForward: 16, seqLen: 8 }
moe: { numExperts: 2, router: hash, expertGroups: 1 }
train: { steps: 1, globalBatch: 2, learningRate: 0.1 }
data: { domains: [en], tokenizer: ${tokenizer} }
`,
    path.join(folder, 'recipe.yaml'),
    { sets: [...(vocabSize === null ? [] : [`model.vocabSize=${vocabSize}`]), ...sets] },
  );

it('takes the size of the vocabulary and the end of text from the file, relative to the configuration', () => {
  for (const vocabSize of [null, 'auto', '259']) {
    const { model, data } = resolve('mine', vocabSize);
    expect(model.vocabSize).toBe(259);
    expect(data).toMatchObject({
      tokenizer: path.join(folder, 'mine/tokenizer.json'),
      endOfText: '<|endoftext|>',
    });
  }
});

it('given by --set brings the size of its vocabulary with it', () => {
  const sets = [`data.tokenizer=${path.join(folder, 'mine')}`];
  const written = (set: string[] = []) =>
    resolveConfig(
      JSON.stringify({ ...resolve('mine'), model: { ...resolve('mine').model, vocabSize: 300 } }),
      'a',
      {
        sets: [...sets, ...set],
      },
    );
  expect(written().model.vocabSize).toBe(259);
  // An embedding may have rows that no token uses, as in published models.
  expect(written(['model.vocabSize=300']).model.vocabSize).toBe(300);
  expect(() => written(['model.vocabSize=258'])).toThrow('258 is less than the 259 of');
});

it('goes through a checkpoint unchanged', () => {
  const config = resolve('mine');
  expect(resolveConfig(JSON.stringify(config), '/runs/a/step-1', { sets: ['seed=4'] }).data).toEqual(
    config.data,
  );
});

it.each<[string, string | null, string[], string]>([
  ['mine', '258', [], 'model.vocabSize: 258 is less than the 259 of'],
  ['train', null, [], 'model.vocabSize: is missing'],
  ['train', 'auto', [], 'model.vocabSize: auto is for a tokenizer with a file'],
  ['none', null, [], `recipe.yaml:6:35 data.tokenizer: no tokenizer: ${folder}/none cannot be read`],
  ['unigram.json', null, [], 'recipe.yaml:6:35 data.tokenizer: tokenizer '],
  ['unigram.json', null, [], 'model type Unigram is not supported'],
  ['mine', null, ['data.endOfText=<|end|>'], 'no special token "<|end|>"'],
  [
    'mine',
    null,
    ['data.tokenizer=mine'],
    `--set data.tokenizer=mine: data.tokenizer: no tokenizer: ${process.cwd()}`,
  ],
])('refuses %s with vocabulary %s in one line', (tokenizer, vocabSize, sets, message) => {
  const resolution = () => resolve(tokenizer, vocabSize, sets);
  expect(resolution).toThrow(message);
  expect(resolution).not.toThrow('\n');
});
