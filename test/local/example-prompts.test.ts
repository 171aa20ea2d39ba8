import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { CORPUS_DIR } from '../../src/data/built-in/corpora.js';
import { prepareDataset } from '../../src/data/prepare/prepare.js';
import { textSourceSchema } from '../../src/data/read/text-source.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';
import type { Inference } from '../../src/inference/inference.js';
import { examplePrompts } from '../../src/local/example-prompts.js';
import { tinyConfig } from '../model/support.js';

const numbered = <T>(make: (i: number) => T) => Array.from({ length: 60 }, (_, i) => make(i));

it('gives the beginnings of documents and the questions of the validation text, else general ones', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-examples-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const i of numbered((i) => i)) {
    const words = `text ${i} tells of harbour ${(i * 7919) % 97}, of tower ${(i * 104_729) % 89} and of the sea beyond`;
    writeFileSync(path.join(folder, `${i}.txt`), `/*\n   A ${words}.\n${words.repeat(3)}\n`);
  }
  const sample = (i: number) => ({ prompt: `What is number ${i}?`, completion: `It is ${i}.` });
  writeFileSync(path.join(folder, 'qa.jsonl'), numbered((i) => JSON.stringify(sample(i))).join('\n'));
  const source = (files: string, more = {}) =>
    textSourceSchema.parse({ files: path.join(folder, files), ...more });
  const sources = { own: source('*.txt'), qa: source('qa.jsonl', { instruct: {} }) };
  const { data, model } = tinyConfig({
    model: { vocabSize: 300 },
    data: { domains: ['own', 'qa'], sources, validationShare: 0.3 },
  });
  const dataDir = path.join(folder, 'data');
  const places = { dataDir, corpusDir: CORPUS_DIR, vocabSize: model.vocabSize };
  const dataset = await prepareDataset({ ...data, ...places, log: () => undefined });
  dataset.close();
  const config = { ...tinyConfig(), data, model };
  const { tokenizerFile, tokenizerSha256 } = dataset;
  const inference = (sha256: string) =>
    ({
      checkpoint: { manifest: { config, tokenizerSha256: sha256 }, tokenizerFile },
      config,
      tokenizer: loadTokenizer(tokenizerFile, null),
    }) as unknown as Inference;
  const [own, qa] = examplePrompts(inference(tokenizerSha256), dataDir);
  expect(new Set(own).size).toBe(3);
  for (const text of own!) expect(text).toMatch(/^A text \d+ tells of harbour \d+, of( tower( \d+)?)?$/);
  expect(new Set(qa).size).toBe(3);
  for (const text of qa!) expect(text).toMatch(/^What is number \d+\?$/);

  const general = [
    expect.arrayContaining(['Once upon a time']),
    expect.arrayContaining(['What can you do?']),
  ];
  expect(examplePrompts(inference('of another'), dataDir)).toEqual(general);
  expect(examplePrompts(inference(tokenizerSha256), path.join(folder, 'elsewhere'))).toEqual(general);
  rmSync(path.join(folder, 'qa.jsonl'));
  expect(examplePrompts(inference(tokenizerSha256), dataDir)).toEqual(general);
});
